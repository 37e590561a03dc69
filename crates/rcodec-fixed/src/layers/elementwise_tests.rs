use super::super::test_support::{
    Values, activation, assert_layer, assert_threads, cases, count_equal, counted, engines, tame,
};
use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(256))]

    fn sums_products_and_narrowing_cases(seed: u64, len in 1usize..200, shift in 0u8..16, kind in 0usize..3) {
        let mut values = Values::new(seed);
        let (a, b) = (values.extreme_words(len), values.extreme_words(len));
        let gate = Gate { shift, activation: Activation::Identity };
        let pairs = || a.iter().zip(&b);
        let sums: Vec<i16> = pairs().map(|(&a, &b)| a.saturating_add(b)).collect();
        let products: Vec<i16> = pairs().map(|(&a, &b)| gate.apply(a, b)).collect();
        let activated: Vec<i16> = a.iter().map(|&a| activation(kind).apply(a)).collect();
        let narrow_shift = shift % 9;
        let narrowed: Vec<i8> = a
            .iter()
            .map(|&a| {
                let rounded = (i32::from(a) + ((1 << narrow_shift) >> 1)) >> narrow_shift;
                rounded.clamp(-128, 127) as i8
            })
            .collect();
        for engine in engines() {
            let mut out = a.clone();
            add_assign(&engine, &b, &mut out).unwrap();
            prop_assert_eq!(&out, &sums);
            multiply(&engine, &a, &b, shift, &mut out).unwrap();
            prop_assert_eq!(&out, &products);
            out.copy_from_slice(&a);
            activate(&engine, activation(kind), &mut out).unwrap();
            prop_assert_eq!(&out, &activated);
            let mut out = vec![0; len];
            narrow(&engine, &a, narrow_shift, &mut out).unwrap();
            prop_assert_eq!(&out, &narrowed);
            count_equal(4 * len);
        }
    }

    fn gains_and_gates_cases(
        seed: u64,
        (height, width, channels) in (1usize..5, 1usize..20, 1usize..80),
        kind in 0usize..3,
        shift in 0u8..16,
    ) {
        let (width, channels) = (tame(width, 3), tame(channels, 40));
        let mut values = Values::new(seed);
        let shape = Shape::new(height, width, channels).unwrap();
        let q = QFormat::INTEGER;
        let gain = values.extreme_words(channels);
        let requant = values.requant(channels, activation(kind));
        let input = values.extreme_words(height * width * channels);
        let expected: Vec<i16> = input
            .iter()
            .enumerate()
            .map(|(i, &x)| requant.apply(i % channels, i32::from(x) * i32::from(gain[i % channels])))
            .collect();
        let layer = Gain::new(&gain, &requant, 32_768, (q, q)).unwrap();
        assert_layer(&layer, shape, &input, &expected);

        let gate = Gate { shift, activation: activation(kind + 1) };
        let layer = GateHalves::new(gate, activation(kind), q).unwrap();
        let shape = Shape::new(height, width, 2 * channels).unwrap();
        let input = values.extreme_words(height * width * 2 * channels);
        let expected: Vec<i16> = input
            .chunks(2 * channels)
            .flat_map(|halves| {
                (0..channels).map(|c| {
                    let value = activation(kind).apply(halves[c]);
                    gate.apply(value, gate.activation.apply(halves[channels + c]))
                })
            })
            .collect();
        assert_layer(&layer, shape, &input, &expected);
    }
}

#[test]
fn gains_and_gates() {
    counted("gains and gated halves", gains_and_gates_cases);
}

#[test]
fn sums_products_and_narrowing() {
    counted(
        "sums, products, activations, narrowing",
        sums_products_and_narrowing_cases,
    );
}

#[test]
#[cfg_attr(miri, ignore = "too large")]
fn threads_change_nothing() {
    let mut values = Values::new(8);
    let q = QFormat::INTEGER;
    let shape = Shape::new(150, 111, 70).unwrap();
    let input = values.extreme_words(shape.checked_len().unwrap());
    let requant = values.requant(70, activation(1));
    let gain = Gain::new(&values.words(70, 999), &requant, 32_768, (q, q)).unwrap();
    assert_threads(&gain, shape, &input);
    let gate = Gate {
        shift: 9,
        activation: activation(2),
    };
    let gate = GateHalves::new(gate, activation(0), q).unwrap();
    assert_threads(&gate, shape, &input);
}

#[test]
fn impossible_parameters_are_errors() {
    let engine = Engine::new();
    assert!(add_assign(&engine, &[1], &mut [1, 2]).is_err());
    assert!(multiply(&engine, &[1], &[1], 16, &mut [0]).is_err());
    assert!(multiply(&engine, &[1], &[1, 2], 1, &mut [0]).is_err());
    assert!(narrow(&engine, &[1], 9, &mut [0]).is_err());
    assert!(activate(&engine, Activation::Clip { lo: 2, hi: 1 }, &mut [0]).is_err());
    let q = QFormat::INTEGER;
    let requant = Requant::uniform(1, 0, Activation::Identity);
    assert!(Gain::new(&[], &Requant::default(), 1, (q, q)).is_err());
    assert!(Gain::new(&[1, 2], &requant, 1, (q, q)).is_err());
}
