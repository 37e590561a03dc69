//! Descriptions out of a hostile model file: every one is refused or gives a
//! layer that runs; nothing panics (tests are built with overflow checks).

use proptest::prelude::*;
use rcodec_core::{Budget, Limits};
use rcodec_fixed::{
    Activation, ByteMatrix, ByteMatrixSpec, CausalConv1d, CausalConv1dSpec, Conv2d, Conv2dSpec,
    ConvPixelShuffle, DepthwiseConv2d, DepthwiseConv2dSpec, Engine, Gain, Gate, Layer, Padding,
    PixelShuffle, PixelUnshuffle, QFormat, Requant, Residual, Shape, Table, TableSpec,
    TransposedConv2dSpec,
};

/// So many cases of a property, or as many as `PROPTEST_CASES` says.
fn cases(count: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|n| n.parse().ok()).unwrap_or(count),
        ..ProptestConfig::default()
    }
}

/// A size: mostly small, sometimes absurd.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..5, 1 => any::<usize>()]
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        any::<(i16, i16)>().prop_map(|(lo, hi)| Activation::Clip { lo, hi }),
        any::<(u8, i16)>().prop_map(|(shift, hi)| Activation::LeakyRelu { shift, hi }),
    ]
}

/// Biases and shifts for about `channels`.
fn requant(channels: usize) -> impl Strategy<Value = Requant> {
    let channels = channels.min(40);
    let shift = prop_oneof![8 => 0u8..31, 1 => any::<u8>()];
    let bias = prop_oneof![8 => -1000i32..1000, 1 => any::<i32>()];
    (
        prop::collection::vec(bias, channels),
        prop::collection::vec(shift, channels),
        activation(),
    )
        .prop_map(|(bias, shift, activation)| Requant {
            bias,
            shift,
            activation,
        })
}

fn gate() -> impl Strategy<Value = Option<Gate>> {
    let shift = prop_oneof![8 => 0u8..16, 1 => any::<u8>()];
    prop::option::of(
        (shift, activation()).prop_map(|(shift, activation)| Gate { shift, activation }),
    )
}

fn input_max() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..32_769, 1 => any::<u32>()]
}

/// As many weights as the sizes ask for, if that is possible.
fn weights(count: Option<usize>, max: i16) -> impl Strategy<Value = Vec<i16>> {
    let count = count.filter(|&count| count < 4000).unwrap_or(7);
    prop::collection::vec(-max..=max, count)
}

fn product(sizes: &[usize]) -> Option<usize> {
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// Runs a layer on a small tensor of the channels it wants.
fn run(layer: &dyn Layer, (height, width): (usize, usize), channels: usize, value: i16) {
    let shape = Shape {
        height,
        width,
        channels,
    };
    let output = layer.output_shape(shape).unwrap();
    let input = vec![value; shape.checked_len().unwrap()];
    let mut out = vec![0; output.checked_len().unwrap()];
    layer
        .run(&Engine::new(), shape, &input, Residual::None, &mut out)
        .unwrap();
    let range = layer.output_range();
    let _ = (range.max_abs(), layer.work(shape));
    let absurd = Shape {
        height: usize::MAX,
        width: usize::MAX,
        channels,
    };
    assert!(layer.output_shape(absurd).is_err() || channels == 0);
    let _ = layer.work(absurd);
}

fn conv() -> impl Strategy<Value = Conv2dSpec> {
    let sizes = (size(), size(), size(), size(), gate());
    sizes.prop_flat_map(|(in_channels, out_channels, kernel, stride, gate)| {
        let count = product(&[in_channels, out_channels, kernel, kernel]);
        (
            weights(count, 300),
            requant(out_channels),
            input_max(),
            any::<bool>(),
        )
            .prop_map(move |(weights, requant, input_max, replicate)| Conv2dSpec {
                in_channels,
                out_channels,
                kernel,
                stride,
                padding: if replicate {
                    Padding::Replicate
                } else {
                    Padding::Zero
                },
                weights,
                requant,
                gate,
                input_max,
                input_q: QFormat::INTEGER,
                output_q: QFormat::INTEGER,
            })
    })
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn convolutions(spec in conv(), extent in (0usize..4, 0usize..4), value: i16, factor in size()) {
        if let Ok(layer) = Conv2d::new(&spec) {
            run(&layer, extent, spec.in_channels, value);
        }
        if let Ok(layer) = ConvPixelShuffle::new(&spec, factor) {
            run(&layer, extent, spec.in_channels, value);
        }
        let transposed = TransposedConv2dSpec {
            in_channels: spec.in_channels,
            out_channels: spec.out_channels,
            kernel: spec.kernel,
            weights: spec.weights.clone(),
            requant: spec.requant.clone(),
            input_max: spec.input_max,
            input_q: spec.input_q,
            output_q: spec.output_q,
        };
        if let Ok(layer) = ConvPixelShuffle::transposed(&transposed) {
            run(&layer, extent, spec.in_channels, value);
        }
        let depthwise = DepthwiseConv2dSpec {
            channels: spec.in_channels,
            kernel: spec.kernel,
            stride: spec.stride,
            padding: spec.padding,
            weights: spec.weights.clone(),
            requant: spec.requant.clone(),
            input_max: spec.input_max,
            input_q: spec.input_q,
            output_q: spec.output_q,
        };
        if let Ok(layer) = DepthwiseConv2d::new(&depthwise) {
            run(&layer, extent, spec.in_channels, value);
        }
        let causal = CausalConv1dSpec {
            in_channels: spec.in_channels,
            out_channels: spec.out_channels,
            kernel: spec.kernel.saturating_mul(spec.kernel),
            dilation: factor,
            weights: spec.weights.clone(),
            requant: spec.requant.clone(),
            gate: spec.gate,
            input_max: spec.input_max,
            input_q: spec.input_q,
            output_q: spec.output_q,
        };
        if let Ok(layer) = CausalConv1d::new(&causal) {
            let budget = Budget::new(Limits::default());
            let mut state = layer.state(&budget).unwrap();
            let input = vec![value; 5 * spec.in_channels];
            let mut out = vec![0; 5 * layer.out_channels()];
            layer
                .process(&Engine::new(), &mut state, &input, Residual::None, &mut out)
                .unwrap();
        }
        let gains = Gain::new(
            &spec.weights,
            &spec.requant,
            spec.input_max,
            (spec.input_q, spec.output_q),
        );
        if let Ok(layer) = gains {
            run(&layer, extent, spec.weights.len(), value);
        }
    }

    #[test]
    fn matrices(
        (spec, value) in (size(), size(), gate()).prop_flat_map(|(inputs, outputs, gate)| {
            let count = product(&[inputs, outputs]).filter(|&count| count < 4000).unwrap_or(7);
            (prop::collection::vec(any::<i8>(), count), requant(outputs), any::<i8>()).prop_map(
                move |(weights, requant, value)| {
                    let spec = ByteMatrixSpec { inputs, outputs, weights, requant, gate };
                    (spec, value)
                },
            )
        }),
    ) {
        if let Ok(matrix) = ByteMatrix::new(&spec) {
            let input = vec![value; 3 * matrix.inputs()];
            let mut out = vec![0; 3 * matrix.outputs()];
            matrix.apply(&Engine::new(), &input, Residual::Accumulate, &mut out).unwrap();
        }
    }

    #[test]
    fn tables_and_shuffles(
        (range_bits, index_bits, interpolate) in (any::<u8>(), any::<u8>(), any::<bool>()),
        small in prop::option::of((0u8..17, 0u8..14)),
        factor in size(),
        extent in (0usize..4, 0usize..4),
        channels in 1usize..9,
        value: i16,
    ) {
        let (range_bits, index_bits) = small.unwrap_or((range_bits, index_bits));
        let spec = TableSpec {
            range_bits,
            index_bits,
            interpolate,
            values: vec![value; (1 << u32::from(index_bits).min(13)) + 1],
            input_q: QFormat::INTEGER,
            output_q: QFormat::INTEGER,
        };
        if let Ok(table) = Table::new(&spec) {
            run(&table, extent, channels, value);
        }
        if let Ok(shuffle) = PixelShuffle::new(factor, QFormat::INTEGER) {
            run(&shuffle, extent, channels * factor * factor, value);
            run(&PixelUnshuffle::new(factor, QFormat::INTEGER).unwrap(), extent, channels, value);
        }
    }
}
