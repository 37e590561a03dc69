use super::super::test_support::{
    Values, activation, assert_layer, assert_threads, cases, counted, padded, tame,
};
use super::*;
use crate::requant::Activation;
use proptest::prelude::*;

/// A convolution by its formula.
fn naive(spec: &Conv2dSpec, shape: Shape, input: &[i16]) -> Vec<i16> {
    let half = (spec.kernel / 2) as isize;
    let mut out = Vec::new();
    for row in 0..shape.height.div_ceil(spec.stride) {
        for column in 0..shape.width.div_ceil(spec.stride) {
            let sums: Vec<i16> = (0..spec.out_channels)
                .map(|o| {
                    let mut sum = 0i32;
                    let mut weights = spec.weights[o * spec.window()..].iter();
                    for ky in 0..spec.kernel {
                        for kx in 0..spec.kernel {
                            for c in 0..spec.in_channels {
                                let y = (row * spec.stride + ky) as isize - half;
                                let x = (column * spec.stride + kx) as isize - half;
                                let value = padded(input, shape, spec.padding, y, x, c);
                                sum += i32::from(*weights.next().unwrap()) * value;
                            }
                        }
                    }
                    let requant = Requant {
                        activation: match spec.gate {
                            Some(gate) if o >= spec.out_channels / 2 => gate.activation,
                            _ => spec.requant.activation,
                        },
                        ..spec.requant.clone()
                    };
                    requant.apply(o, sum)
                })
                .collect();
            match spec.gate {
                None => out.extend(sums),
                Some(gate) => {
                    let (values, gates) = sums.split_at(spec.out_channels / 2);
                    out.extend(values.iter().zip(gates).map(|(&v, &g)| gate.apply(v, g)));
                }
            }
        }
    }
    out
}

/// A random description; the weights are small enough for the proof.
fn spec(
    values: &mut Values,
    (in_channels, out_channels): (usize, usize),
    (kernel, stride): (usize, usize),
    kind: usize,
    gate: Option<Gate>,
) -> Conv2dSpec {
    let out_channels = out_channels << usize::from(gate.is_some());
    let window = kernel * kernel * in_channels;
    let max = (60_000 / window).max(1);
    Conv2dSpec {
        in_channels,
        out_channels,
        kernel,
        stride,
        padding: [Padding::Zero, Padding::Replicate][kind % 2],
        weights: values.words(window * out_channels, max),
        requant: values.requant(out_channels, activation(kind)),
        gate,
        input_max: 32_768,
        input_q: QFormat::INTEGER,
        output_q: QFormat::INTEGER,
    }
}

fn check(
    seed: u64,
    (height, width): (usize, usize),
    channels: (usize, usize),
    kernel: (usize, usize),
    kind: usize,
    gate: Option<Gate>,
) {
    let mut values = Values::new(seed);
    let spec = spec(&mut values, channels, kernel, kind, gate);
    let shape = Shape::new(height, width, channels.0).unwrap();
    let input = values.extreme_words(shape.checked_len().unwrap());
    let layer = Conv2d::new(&spec).unwrap();
    assert_layer(&layer, shape, &input, &naive(&spec, shape, &input));
}

proptest! {
    #![proptest_config(cases(120))]

    fn every_level_computes_the_formula_cases(
        seed: u64,
        size in (1usize..9, 1usize..14),
        channels in (1usize..40, 1usize..70),
        kernel in prop::sample::select(vec![(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1)]),
        kind in 0usize..6,
        gate_shift in prop::option::of(0u8..16),
    ) {
        let gate = gate_shift.map(|shift| Gate { shift, activation: activation(kind + 1) });
        let size = (tame(size.0, 2), tame(size.1, 4));
        let channels = (tame(channels.0, 5), tame(channels.1, 20));
        check(seed, size, channels, kernel, kind, gate);
    }
}

#[test]
fn every_level_computes_the_formula() {
    counted("convolution", every_level_computes_the_formula_cases);
}

#[test]
#[cfg_attr(miri, ignore = "too large")]
fn tiles_and_panels_of_every_width() {
    for out_channels in [16, 32, 48, 64, 65, 80, 128, 144] {
        check(
            out_channels as u64,
            (2, 101),
            (16, out_channels),
            (1, 1),
            2,
            None,
        );
        check(
            out_channels as u64,
            (2, 99),
            (6, out_channels),
            (3, 1),
            1,
            None,
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "too large")]
fn threads_change_nothing() {
    let mut values = Values::new(5);
    let shape = Shape::new(61, 53, 48).unwrap();
    let input = values.extreme_words(shape.checked_len().unwrap());
    for kernel in [(1, 1), (3, 2)] {
        let spec = spec(&mut values, (48, 40), kernel, 1, None);
        assert_threads(&Conv2d::new(&spec).unwrap(), shape, &input);
    }
}

#[test]
fn sums_that_could_overflow_are_refused() {
    let mut spec = spec(&mut Values::new(1), (64, 4), (1, 1), 0, None);
    spec.weights.fill(1023);
    let bounds = spec.sum_bounds().unwrap();
    assert!(bounds.iter().all(|&bound| bound >= 64 * 1023 * 32_768));
    assert!(Conv2d::new(&spec).is_ok());
    spec.weights[64..128].fill(-1025);
    assert!(Conv2d::new(&spec).is_err());
    spec.input_max = 16_384;
    assert!(Conv2d::new(&spec).is_ok());
}

#[test]
fn impossible_descriptions_are_refused() {
    let good = spec(&mut Values::new(2), (3, 4), (3, 1), 0, None);
    let refused = |change: &dyn Fn(&mut Conv2dSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        Conv2d::new(&spec).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|spec| spec.kernel = 2));
    assert!(refused(&|spec| spec.kernel = 17));
    assert!(refused(&|spec| spec.stride = 3));
    assert!(refused(&|spec| spec.in_channels = usize::MAX));
    assert!(refused(&|spec| spec.out_channels = 0));
    assert!(refused(&|spec| spec.requant.shift[1] = 31));
    assert!(refused(&|spec| spec.requant.bias.truncate(3)));
    assert!(refused(&|spec| spec.input_max = 0));
    assert!(refused(&|spec| spec.gate = Some(Gate {
        shift: 16,
        activation: Activation::Identity
    })));
}

#[test]
fn wrong_lengths_are_errors() {
    let layer = Conv2d::new(&spec(&mut Values::new(3), (3, 4), (3, 1), 0, None)).unwrap();
    let engine = Engine::new();
    let shape = Shape::new(2, 2, 3).unwrap();
    let mut out = [0; 16];
    let mut run = |input: &[i16], residual, out_len| {
        layer.run(&engine, shape, input, residual, &mut out[..out_len])
    };
    assert!(run(&[0; 12], Residual::None, 16).is_ok());
    assert!(run(&[0; 11], Residual::None, 16).is_err());
    assert!(run(&[0; 12], Residual::None, 15).is_err());
    assert!(run(&[0; 12], Residual::Add(&[0; 15]), 16).is_err());
    assert!(layer.output_shape(Shape::new(2, 2, 4).unwrap()).is_err());
}
