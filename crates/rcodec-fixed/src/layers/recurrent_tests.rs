use super::super::affine::Gate;
use super::super::matrix::ByteMatrixSpec;
use super::super::table::TableSpec;
use super::super::test_support::{Values, cases, count_equal, counted, engines, tame};
use super::*;
use crate::requant::Requant;
use crate::tensor::QFormat;
use proptest::prelude::*;
use rcodec_core::Limits;

/// Steps of time of one case.
const STEPS: usize = if cfg!(miri) { 4 } else { 20 };

/// A table that rises from `lo` to `hi`.
fn ramp(lo: i32, hi: i32) -> TableSpec {
    TableSpec {
        range_bits: 12,
        index_bits: 8,
        interpolate: true,
        values: (0..257)
            .map(|i| (lo + (hi - lo) * i / 256) as i16)
            .collect(),
        input_q: QFormat::INTEGER,
        output_q: QFormat::INTEGER,
    }
}

fn matrix(values: &mut Values, inputs: usize, outputs: usize) -> ByteMatrixSpec {
    ByteMatrixSpec {
        inputs,
        outputs,
        weights: (0..inputs * outputs)
            .map(|_| values.within(127) as i8)
            .collect(),
        requant: Requant::uniform(outputs, 4, Activation::Identity),
        gate: None,
    }
}

/// The matrix product by its formula.
fn multiply(spec: &ByteMatrixSpec, x: &[i8]) -> Vec<i16> {
    let sum = |w: &[i8]| {
        w.iter()
            .zip(x)
            .map(|(&w, &x)| i32::from(w) * i32::from(x))
            .sum()
    };
    let rows = spec.weights.chunks_exact(spec.inputs).enumerate();
    rows.map(|(o, w)| spec.requant.apply(o, sum(w))).collect()
}

#[test]
fn states_stay_between_candidates_on_every_level() {
    let mut values = Values::new(9);
    for guard_bits in [0, 1, 8, 13] {
        let recurrence = GatedRecurrence::new(guard_bits).unwrap();
        let len = 77;
        let mut expected = vec![0i32; len];
        let mut states: Vec<Vec<i32>> = engines().iter().map(|_| vec![0; len]).collect();
        for step in 0..10 * STEPS {
            let mut update = values.extreme_words(len);
            let mut candidate = values.extreme_words(len);
            if step > 7 * STEPS {
                update.fill(i16::MAX);
                candidate.fill(if step % 2 == 0 { i16::MIN } else { i16::MAX });
            }
            for (i, state) in expected.iter_mut().enumerate() {
                let before = *state;
                *state = recurrence.next_state(update[i], candidate[i], before);
                let target = i32::from(candidate[i]) << guard_bits;
                assert!((before.min(target)..=before.max(target)).contains(state));
            }
            let outputs: Vec<i16> = expected.iter().map(|&h| recurrence.output(h)).collect();
            for (engine, state) in engines().iter().zip(&mut states) {
                let mut out = vec![0; len];
                recurrence
                    .step(engine, &update, &candidate, state, &mut out)
                    .unwrap();
                assert_eq!(*state, expected);
                assert_eq!(out, outputs);
            }
        }
    }
    assert!(GatedRecurrence::new(14).is_err());
}

fn check_min_gru(seed: u64, (inputs, width): (usize, usize), streams: usize, guard_bits: u8) {
    let mut values = Values::new(seed);
    let spec = matrix(&mut values, inputs, 2 * width);
    let (update, candidate) = (ramp(0, 32_767), ramp(-9000, 12_000));
    let recurrence = GatedRecurrence::new(guard_bits).unwrap();
    for with_table in [false, true] {
        let table = with_table.then(|| Table::new(&candidate).unwrap());
        let input = ByteMatrix::new(&spec).unwrap();
        let cell = MinGruCell::new(input, Table::new(&update).unwrap(), table, recurrence).unwrap();
        let budget = Budget::new(Limits::default());
        let mut states: Vec<_> = engines()
            .iter()
            .map(|_| cell.state(streams, &budget).unwrap())
            .collect();
        let mut expected = vec![0i32; streams * width];
        for _ in 0..STEPS {
            let x: Vec<i8> = (0..streams * inputs).map(|_| values.next() as i8).collect();
            for (x, states) in x.chunks(inputs).zip(expected.chunks_mut(width)) {
                let sums = multiply(&spec, x);
                for (i, state) in states.iter_mut().enumerate() {
                    let g = sums[width + i];
                    let g = if with_table { candidate.apply(g) } else { g };
                    *state = recurrence.next_state(update.apply(sums[i]), g, *state);
                }
            }
            let outputs: Vec<i16> = expected.iter().map(|&h| recurrence.output(h)).collect();
            for (engine, state) in engines().iter().zip(&mut states) {
                let mut out = vec![0; streams * width];
                cell.step(engine, state, &x, &mut out).unwrap();
                assert_eq!(out, outputs, "{:?}", engine.level());
                count_equal(out.len());
            }
        }
        let (more, mut out) = (vec![0; (streams + 1) * inputs], vec![0; streams * width]);
        assert!(
            cell.step(&Engine::new(), &mut states[0], &more, &mut out)
                .is_err()
        );
    }
}

fn check_gru(seed: u64, (inputs, width): (usize, usize), streams: usize, guard_bits: u8) {
    let mut values = Values::new(seed);
    let input = matrix(&mut values, inputs, 3 * width);
    let hidden = matrix(&mut values, width, 3 * width);
    let (gate, candidate) = (ramp(0, 32_767), ramp(-16_000, 16_000));
    let recurrence = GatedRecurrence::new(guard_bits).unwrap();
    let cell = GruCell::new(
        (
            ByteMatrix::new(&input).unwrap(),
            ByteMatrix::new(&hidden).unwrap(),
        ),
        (Table::new(&gate).unwrap(), Table::new(&candidate).unwrap()),
        recurrence,
        7,
    )
    .unwrap();
    let budget = Budget::new(Limits::default());
    let mut states: Vec<_> = engines()
        .iter()
        .map(|_| cell.state(streams, &budget).unwrap())
        .collect();
    let mut expected = vec![0i32; streams * width];
    let mut narrow = vec![0i8; streams * width];
    let product = Gate {
        shift: 15,
        activation: Activation::Identity,
    };
    for _ in 0..STEPS {
        let x: Vec<i8> = (0..streams * inputs).map(|_| values.next() as i8).collect();
        for (s, x) in x.chunks(inputs).enumerate() {
            let a = multiply(&input, x);
            let b = multiply(&hidden, &narrow[s * width..][..width]);
            for i in 0..width {
                let z = gate.apply(a[i].saturating_add(b[i]));
                let r = gate.apply(a[width + i].saturating_add(b[width + i]));
                let reset = product.apply(b[2 * width + i], r);
                let n = candidate.apply(a[2 * width + i].saturating_add(reset));
                let state = &mut expected[s * width + i];
                *state = recurrence.next_state(z, n, *state);
            }
        }
        let outputs: Vec<i16> = expected.iter().map(|&h| recurrence.output(h)).collect();
        for (narrow, &h) in narrow.iter_mut().zip(&outputs) {
            *narrow = ((i32::from(h) + 64) >> 7).clamp(-128, 127) as i8;
        }
        for (engine, state) in engines().iter().zip(&mut states) {
            let mut out = vec![0; streams * width];
            cell.step(engine, state, &x, &mut out).unwrap();
            assert_eq!(out, outputs, "{:?}", engine.level());
            count_equal(out.len());
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    fn cells_follow_their_formulas_for_every_stream_cases(
        seed: u64,
        sizes in (1usize..70, 1usize..80),
        streams in 1usize..6,
        guard_bits in 0u8..14,
    ) {
        let sizes = (tame(sizes.0, 10), tame(sizes.1, 20));
        check_min_gru(seed, sizes, streams, guard_bits);
        check_gru(seed, sizes, streams, guard_bits);
    }
}

#[test]
fn cells_follow_their_formulas_for_every_stream() {
    counted(
        "minGRU and GRU",
        cells_follow_their_formulas_for_every_stream_cases,
    );
}
