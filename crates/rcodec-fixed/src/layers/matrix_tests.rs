use super::super::test_support::{Values, activation, cases, count_equal, counted, engines, tame};
use super::*;
use crate::requant::Activation;
use proptest::prelude::*;

/// Sums of the products, without biases.
fn products<T: Copy + Into<i32>>(weights: &[T], inputs: usize, input: &[T]) -> Vec<Vec<i32>> {
    let row = |x: &[T]| {
        weights
            .chunks_exact(inputs)
            .map(|w| w.iter().zip(x).map(|(&w, &x)| w.into() * x.into()).sum())
            .collect()
    };
    input.chunks_exact(inputs).map(row).collect()
}

fn requantized(products: &[Vec<i32>], requant: &Requant, gate: Option<Gate>) -> Vec<i16> {
    let mut out = Vec::new();
    for sums in products {
        let half = sums.len() / 2;
        let output = |o: usize| {
            let activation = match gate {
                Some(gate) if o >= half => gate.activation,
                _ => requant.activation,
            };
            let requant = Requant {
                activation,
                ..requant.clone()
            };
            requant.apply(o, sums[o])
        };
        match gate {
            None => out.extend((0..sums.len()).map(output)),
            Some(gate) => out.extend((0..half).map(|o| gate.apply(output(o), output(o + half)))),
        }
    }
    out
}

fn with_biases(products: &[Vec<i32>], requant: &Requant) -> Vec<i32> {
    let add = |sums: &Vec<i32>| -> Vec<i32> {
        sums.iter()
            .zip(&requant.bias)
            .map(|(sum, bias)| sum + bias)
            .collect()
    };
    products.iter().flat_map(add).collect()
}

proptest! {
    #![proptest_config(cases(150))]

    fn bytes_on_every_level_cases(
        seed: u64,
        (inputs, outputs) in (1usize..150, 1usize..150),
        rows in 1usize..14,
        kind in 0usize..3,
        gate_shift in prop::option::of(0u8..16),
    ) {
        let (inputs, outputs) = (tame(inputs, 20), tame(outputs, 40));
        let mut values = Values::new(seed);
        let gate = gate_shift.map(|shift| Gate { shift, activation: activation(kind + 1) });
        let outputs = outputs << usize::from(gate.is_some());
        let spec = ByteMatrixSpec {
            inputs,
            outputs,
            weights: (0..inputs * outputs).map(|_| match values.next() % 4 {
                0 => 127,
                1 => -127,
                _ => values.within(127) as i8,
            }).collect(),
            requant: values.requant(outputs, activation(kind)),
            gate,
        };
        let input: Vec<i8> = (0..rows * inputs).map(|_| match values.next() % 4 {
            0 => 127,
            1 => -128,
            _ => values.next() as i8,
        }).collect();
        let matrix = ByteMatrix::new(&spec).unwrap();
        let products = products(&spec.weights, inputs, &input);
        let expected = requantized(&products, &spec.requant, gate);
        for engine in engines() {
            let mut out = vec![0; rows * matrix.outputs()];
            matrix.apply(&engine, &input, Residual::None, &mut out).unwrap();
            prop_assert_eq!(&out, &expected);
            count_equal(out.len());
            let mut sums = vec![0; rows * matrix.outputs()];
            prop_assert_eq!(matrix.sums(&engine, &input, &mut sums).is_err(), gate.is_some());
            if gate.is_none() {
                prop_assert_eq!(&sums, &with_biases(&products, &spec.requant));
                count_equal(sums.len());
            }
        }
    }

    fn words_on_every_level_cases(
        seed: u64,
        (inputs, outputs) in (1usize..150, 1usize..150),
        rows in 1usize..14,
        kind in 0usize..3,
    ) {
        let (inputs, outputs) = (tame(inputs, 20), tame(outputs, 40));
        let mut values = Values::new(seed);
        let spec = WordMatrixSpec {
            inputs,
            outputs,
            weights: values.words(inputs * outputs, 60_000 / inputs),
            requant: values.requant(outputs, activation(kind)),
            gate: None,
            input_max: 32_768,
        };
        let input = values.extreme_words(rows * inputs);
        let matrix = WordMatrix::new(&spec).unwrap();
        let products = products(&spec.weights, inputs, &input);
        let expected = requantized(&products, &spec.requant, None);
        for engine in engines() {
            let mut out = vec![0; rows * outputs];
            matrix.apply(&engine, &input, Residual::None, &mut out).unwrap();
            prop_assert_eq!(&out, &expected);
            count_equal(out.len());
            let mut sums = vec![0; rows * outputs];
            matrix.sums(&engine, &input, &mut sums).unwrap();
            prop_assert_eq!(&sums, &with_biases(&products, &spec.requant));
            count_equal(sums.len());
        }
    }
}

#[test]
fn words_on_every_level() {
    counted("matrix of 16 bits", words_on_every_level_cases);
}

#[test]
fn bytes_on_every_level() {
    counted("matrix of 8 bits", bytes_on_every_level_cases);
}

#[test]
#[cfg_attr(miri, ignore = "too large")]
fn long_batches_and_threads() {
    let mut values = Values::new(3);
    let spec = ByteMatrixSpec {
        inputs: 130,
        outputs: 150,
        weights: (0..130 * 150).map(|_| values.within(127) as i8).collect(),
        requant: values.requant(150, Activation::Identity),
        gate: None,
    };
    let matrix = ByteMatrix::new(&spec).unwrap();
    let input: Vec<i8> = (0..130 * 333).map(|_| values.next() as i8).collect();
    let products = products(&spec.weights, 130, &input);
    let expected = requantized(&products, &spec.requant, None);
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let mut out = vec![0; 150 * 333];
        pool.install(|| matrix.apply(&Engine::new(), &input, Residual::None, &mut out))
            .unwrap();
        assert!(out == expected);
    }
}

#[test]
fn impossible_descriptions_are_refused() {
    let good = ByteMatrixSpec {
        inputs: 2,
        outputs: 1,
        weights: vec![1, -127],
        requant: Requant::uniform(1, 0, Activation::Identity),
        gate: None,
    };
    assert!(ByteMatrix::new(&good).is_ok());
    let refused = |change: &dyn Fn(&mut ByteMatrixSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        ByteMatrix::new(&spec).is_err()
    };
    assert!(refused(&|spec| spec.weights[1] = -128));
    assert!(refused(&|spec| spec.inputs = 3));
    assert!(refused(&|spec| spec.outputs = usize::MAX));
    assert!(refused(&|spec| spec.requant.bias[0] = i32::MIN));
    assert!(refused(&|spec| spec.gate = Some(Gate {
        shift: 1,
        activation: Activation::Identity
    })));

    let matrix = ByteMatrix::new(&good).unwrap();
    let engine = Engine::new();
    assert!(
        matrix
            .apply(&engine, &[1, 2, 3], Residual::None, &mut [0])
            .is_err()
    );
    assert!(
        matrix
            .apply(&engine, &[1, 2], Residual::None, &mut [0, 0])
            .is_err()
    );
    assert!(
        matrix
            .apply(&engine, &[1, 2], Residual::Add(&[]), &mut [0])
            .is_err()
    );
}
