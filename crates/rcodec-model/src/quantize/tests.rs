//! Scales are the finest that the bounds allow; what is too large is refused.

use super::*;
use crate::graph::GraphKind;
use proptest::prelude::*;

fn scales() -> Scales {
    Scales {
        input_q: 9,
        output_q: 9,
        input_max: 1 << 15,
        weight_bits: 16,
    }
}

proptest! {
    #[test]
    fn the_finest_scale_that_is_proven(
        row in proptest::collection::vec(-4f32..4.0, 1..40),
        bias in -50f32..50.0,
        (input_q, output_q) in (0i32..16, 0i32..16),
        (input_max, weight_bits) in (1u32..=32_768, 2u8..=16),
        exponent in -8i32..4,
    ) {
        let row: Vec<f32> = row.iter().map(|w| w * 2f32.powi(exponent)).collect();
        let scales = Scales { input_q, output_q, input_max, weight_bits };
        let bound = |quantized: &Quantized| -> u128 {
            let sum: u128 = quantized.weights.iter().map(|w| u128::from(w.unsigned_abs())).sum();
            let round = (1u128 << quantized.shift[0]) / 2;
            sum * u128::from(input_max) + u128::from(quantized.bias[0].unsigned_abs()) + round
        };
        match quantize_rows(&row, &[bias], &scales) {
            Ok(quantized) => {
                let limit = (1 << (weight_bits - 1)) - 1;
                prop_assert!(quantized.weights.iter().all(|w| i32::from(w.abs()) <= limit));
                prop_assert!(bound(&quantized) < 1 << 31);
                let weight_q = output_q + i32::from(quantized.shift[0]) - input_q;
                for (w, &int) in row.iter().zip(&quantized.weights) {
                    let error = f64::from(int) * 2f64.powi(-weight_q) - f64::from(*w);
                    prop_assert!(error.abs() <= 0.5 * 2f64.powi(-weight_q));
                }
                let same = quantize_with_shifts(&row, &[bias], &quantized.shift, &scales).unwrap();
                prop_assert_eq!(&same, &quantized);
                let finer = quantized.shift[0] + 1;
                if finer <= 30 {
                    prop_assert!(quantize_with_shifts(&row, &[bias], &[finer], &scales).is_err());
                }
            }
            // Then the coarsest scale is too fine already.
            Err(_) => prop_assert!(
                quantize_with_shifts(&row, &[bias], &[0], &scales).is_err()
            ),
        }
    }
}

#[test]
fn outputs_have_scales_of_their_own() {
    let quantized = quantize_rows(&[1.0, -0.5, 0.01, 0.002], &[0.25, 0.0], &scales()).unwrap();
    // Q14 would be 16384 + 8192 and needs Σ|w| under 65536; Q15 has no 1.0.
    assert_eq!(quantized.weights[..2], [16384, -8192]);
    assert_eq!(quantized.shift[0], 14);
    assert_eq!(quantized.bias[0], 1 << (9 + 14 - 2));
    assert_eq!(quantized.shift[1], 21);
    assert_eq!(
        quantized.weights[2],
        (0.01f64 * f64::from(1 << 21)).round() as i16
    );
}

#[test]
fn impossible_weights_are_refused() {
    let refused = |weights: &[f32], bias: &[f32], scales: &Scales| {
        quantize_rows(weights, bias, scales).is_err()
    };
    assert!(refused(&[f32::NAN], &[0.0], &scales()));
    assert!(refused(&[0.0], &[f32::INFINITY], &scales()));
    assert!(refused(&[1e6], &[0.0], &scales()));
    assert!(refused(&[1.0, 2.0, 3.0], &[0.0, 0.0], &scales()));
    assert!(refused(
        &[1.0],
        &[0.0],
        &Scales {
            weight_bits: 17,
            ..scales()
        }
    ));
    assert!(!refused(&[0.0; 4], &[0.0; 2], &scales()));
}

#[test]
fn tables_are_rounded_and_saturated() {
    let table = table_values(|x| x, (3, 4), (0, 12)).unwrap();
    assert_eq!(table.len(), 17);
    assert_eq!(
        (table[0], table[8], table[9], table[16]),
        (-32768, 0, 4096, 32767)
    );
    assert!(table_values(|x| x, (3, 5), (0, 0)).is_err());
    assert!(table_values(f64::ln, (3, 4), (0, 0)).is_err());
}

#[test]
fn orders_of_weights_are_changed() {
    let weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(outputs_first(&weights, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

/// A builder refuses what the loader would.
#[test]
fn builders_refuse_what_does_not_fit() {
    let mut model = ModelBuilder::new();
    let mut g = model
        .graph("g", GraphKind::Spatial, &[("quality", 2)])
        .unwrap();
    let x = g.input("x", 2, (9, 1 << 15), 1).unwrap();
    let two = quantize_rows(&[0.5; 4], &[0.0; 2], &scales()).unwrap();
    let plain = LayerOptions::new(9);
    assert!(g.conv("a", x, 3, &two, plain).is_err(), "weights of a 1x1");
    let y = g.conv("b", x, 1, &two, plain).unwrap();
    assert!(g.conv("b", x, 1, &two, plain).is_err(), "a name twice");
    let add = LayerOptions {
        add: Some(x),
        ..LayerOptions::new(8)
    };
    assert!(g.conv("c", y, 1, &two, add).is_err(), "scales differ");
    assert!(g.shuffle("d", y, 2).is_err(), "two channels are no square");
    assert!(
        g.gain("e", y, Some("speed"), &two, plain).is_err(),
        "no such selector"
    );
    assert!(
        g.gain("f", y, Some("quality"), &two, plain).is_err(),
        "one variant of two"
    );
    let four = quantize_rows(&[0.5; 4], &[0.0; 4], &scales()).unwrap();
    let z = g.gain("h", y, Some("quality"), &four, plain).unwrap();
    // Half of what there was, and one for rounding.
    assert_eq!(g.info(z).range.max_abs(), (1 << 14) + 1);
    assert!(g.finish(&[("out", x)]).is_err(), "an input that comes out");
}
