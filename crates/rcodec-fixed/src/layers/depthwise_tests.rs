use super::super::test_support::{
    Values, activation, assert_layer, assert_threads, cases, counted, padded, tame,
};
use super::*;
use proptest::prelude::*;

/// A depthwise convolution by its formula.
fn naive(spec: &DepthwiseConv2dSpec, shape: Shape, input: &[i16]) -> Vec<i16> {
    let half = (spec.kernel / 2) as isize;
    let mut out = Vec::new();
    for row in 0..shape.height.div_ceil(spec.stride) {
        for column in 0..shape.width.div_ceil(spec.stride) {
            for c in 0..spec.channels {
                let mut sum = 0i32;
                for ky in 0..spec.kernel {
                    for kx in 0..spec.kernel {
                        let y = (row * spec.stride + ky) as isize - half;
                        let x = (column * spec.stride + kx) as isize - half;
                        let weight = spec.weights[(ky * spec.kernel + kx) * spec.channels + c];
                        sum += i32::from(weight) * padded(input, shape, spec.padding, y, x, c);
                    }
                }
                out.push(spec.requant.apply(c, sum));
            }
        }
    }
    out
}

fn spec(
    values: &mut Values,
    channels: usize,
    (kernel, stride): (usize, usize),
    kind: usize,
) -> DepthwiseConv2dSpec {
    let taps = kernel * kernel;
    DepthwiseConv2dSpec {
        channels,
        kernel,
        stride,
        padding: [Padding::Zero, Padding::Replicate][kind % 2],
        weights: values.words(taps * channels, 60_000 / taps),
        requant: values.requant(channels, activation(kind)),
        input_max: 32_768,
        input_q: QFormat::INTEGER,
        output_q: QFormat::INTEGER,
    }
}

proptest! {
    #![proptest_config(cases(150))]

    fn every_level_computes_the_formula_cases(
        seed: u64,
        size in (1usize..10, 1usize..80),
        channels in 1usize..70,
        kernel in prop::sample::select(vec![(3, 1), (3, 2), (5, 1), (5, 2)]),
        kind in 0usize..6,
    ) {
        let (size, channels) = ((tame(size.0, 3), tame(size.1, 9)), tame(channels, 36));
        let mut values = Values::new(seed);
        let spec = spec(&mut values, channels, kernel, kind);
        let shape = Shape::new(size.0, size.1, channels).unwrap();
        let input = values.extreme_words(shape.checked_len().unwrap());
        let layer = DepthwiseConv2d::new(&spec).unwrap();
        assert_layer(&layer, shape, &input, &naive(&spec, shape, &input));
    }
}

#[test]
fn every_level_computes_the_formula() {
    counted(
        "depthwise convolution",
        every_level_computes_the_formula_cases,
    );
}

#[test]
#[cfg_attr(miri, ignore = "too large")]
fn threads_change_nothing() {
    let mut values = Values::new(7);
    let shape = Shape::new(67, 83, 40).unwrap();
    let input = values.extreme_words(shape.checked_len().unwrap());
    let spec = spec(&mut values, 40, (5, 1), 1);
    assert_threads(&DepthwiseConv2d::new(&spec).unwrap(), shape, &input);
}

#[test]
fn impossible_descriptions_are_refused() {
    let good = spec(&mut Values::new(2), 4, (3, 1), 0);
    let refused = |change: &dyn Fn(&mut DepthwiseConv2dSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        DepthwiseConv2d::new(&spec).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|spec| spec.kernel = 4));
    assert!(refused(&|spec| spec.stride = 0));
    assert!(refused(&|spec| spec.channels = usize::MAX));
    assert!(refused(&|spec| spec.weights.truncate(9)));
    assert!(refused(&|spec| spec.weights.fill(i16::MAX)));
    assert!(refused(&|spec| spec.input_max = 32_769));
}
