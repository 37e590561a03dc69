//! Small models for tests.

use crate::graph::{Activation, Gate, GraphKind, Op, Padding, Table};
use crate::model::cdf_tensor;
use crate::quantize::{
    GraphBuilder, LayerOptions, ModelBuilder, Quantized, Scales, Value, quantize_rows, table_values,
};
use crate::{ModelData, Record, TensorData};
use rcodec_entropy::Cdf;
use rcodec_fixed::{QFormat, Shape, Tensor};

/// A generator of numbers (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Numbers of about unit variance.
    pub(crate) fn normal(&mut self, len: usize, deviation: f32) -> Vec<f32> {
        let mut one = || (self.next() % 65536) as f32 / 65536.0 - 0.5;
        (0..len)
            .map(|_| (one() + one() + one() + one()) * 1.7 * deviation)
            .collect()
    }

    pub(crate) fn tensor(&mut self, shape: (usize, usize, usize), q: u8, max: u32) -> Tensor {
        let shape = Shape::new(shape.0, shape.1, shape.2).unwrap();
        let len = shape.checked_len().unwrap();
        let span = 2 * u64::from(max) + 1;
        let values = (0..len)
            .map(|_| ((self.next() % span) as i64 - i64::from(max)).clamp(-32768, 32767) as i16)
            .collect();
        Tensor::from_values(shape, QFormat::new(q).unwrap(), values).unwrap()
    }
}

/// Random weights of a layer, quantised for `input`.
pub(crate) fn weights(
    random: &mut Random,
    graph: &GraphBuilder<'_>,
    input: Value,
    (outputs, window): (usize, usize),
    q: u8,
) -> Quantized {
    let scales = Scales {
        input_q: i32::from(graph.info(input).q),
        output_q: i32::from(q),
        input_max: graph.max_abs(input),
        weight_bits: 12,
    };
    let deviation = 1.0 / (window as f32).sqrt();
    let values = random.normal(outputs * window, deviation);
    let bias = random.normal(outputs, 0.2);
    quantize_rows(&values, &bias, &scales).unwrap()
}

/// The same for layers that narrow their inputs.
pub(crate) fn byte_weights(
    random: &mut Random,
    graph: &GraphBuilder<'_>,
    (input, narrow): (Value, u8),
    (outputs, window): (usize, usize),
    q: u8,
) -> Quantized {
    let scales = Scales {
        input_q: i32::from(graph.info(input).q) - i32::from(narrow),
        output_q: i32::from(q),
        input_max: 128,
        weight_bits: 8,
    };
    let values = random.normal(outputs * window, 1.0 / (window as f32).sqrt());
    let bias = random.normal(outputs, 0.2);
    quantize_rows(&values, &bias, &scales).unwrap()
}

/// Appends the residual block: 1x1, clipped ReLU, depthwise, 1x1, add; gated
/// 1x1, 1x1, add.
pub(crate) fn block(random: &mut Random, g: &mut GraphBuilder<'_>, name: &str, x: Value) -> Value {
    let (channels, q) = (g.info(x).channels as usize, g.info(x).q);
    let plain = LayerOptions::new(q);
    let layer = |part: &str| format!("{name}.{part}");
    let w = weights(random, g, x, (channels, channels), q);
    let relu = LayerOptions {
        activation: Activation::relu(8191),
        ..plain
    };
    let a = g.conv(&layer("expand"), x, 1, &w, relu).unwrap();
    let w = weights(random, g, a, (channels, 9), q);
    let b = g.depthwise(&layer("spread"), a, 3, &w, plain).unwrap();
    let w = weights(random, g, b, (channels, channels), q);
    let add = |x| LayerOptions {
        add: Some(x),
        ..plain
    };
    let x = g.conv(&layer("project"), b, 1, &w, add(x)).unwrap();
    let w = weights(random, g, x, (2 * channels, channels), q);
    let gated = LayerOptions {
        gate: Some(Gate {
            shift: q,
            activation: Activation::Clip { lo: 0, hi: 4 << q },
        }),
        ..plain
    };
    let a = g.conv(&layer("gate"), x, 1, &w, gated).unwrap();
    let w = weights(random, g, a, (channels, channels), q);
    g.conv(&layer("mix"), a, 1, &w, add(x)).unwrap()
}

/// A model with every kind of node: pictures, streams and frames.
pub(crate) fn tiny_model(seed: u64) -> ModelData {
    let random = &mut Random::new(seed);
    let mut model = ModelBuilder::new();
    model.data.record = Record {
        family: "image-lossy".to_owned(),
        variant: "s".to_owned(),
        version: 1,
        steps: 1000,
        hours: 0.5,
        licence: "made for tests".to_owned(),
        ..Record::default()
    };
    model
        .data
        .record
        .validation_integer
        .insert("psnr_db".to_owned(), 31.25);
    model.data.parameters.insert("steps".to_owned(), 4);
    analysis(random, &mut model);
    synthesis(random, &mut model);
    streams(random, &mut model);
    frames(random, &mut model);
    let tables = [&[5, 60, 5][..], &[1, 2, 3, 40, 3, 2, 1], &[1; 9]];
    let tables = tables.map(|frequencies| Cdf::from_frequencies(frequencies).unwrap());
    model
        .tensor(cdf_tensor("latent_tables", &tables).unwrap())
        .unwrap();
    model.data
}

fn analysis(random: &mut Random, model: &mut ModelBuilder) {
    let mut g = model
        .graph("analysis", GraphKind::Spatial, &[("quality", 3)])
        .unwrap();
    let x = g.input("x", 3, (6, 1 << 14), 1).unwrap();
    let x = g.unshuffle("blocks", x, 4).unwrap();
    let plain = LayerOptions::new(9);
    let w = weights(random, &g, x, (10, 48), 9);
    let x = g.conv("stem", x, 1, &w, plain).unwrap();
    let x = block(random, &mut g, "block", x);
    let w = weights(random, &g, x, (14, 90), 9);
    let down = LayerOptions { stride: 2, ..plain };
    let x = g.conv("down", x, 3, &w, down).unwrap();
    let w = weights(random, &g, x, (3 * 14, 1), 6);
    let y = g
        .gain("gain", x, Some("quality"), &w, LayerOptions::new(6))
        .unwrap();
    g.finish(&[("y", y)]).unwrap();
}

fn synthesis(random: &mut Random, model: &mut ModelBuilder) {
    let mut g = model.graph("synthesis", GraphKind::Spatial, &[]).unwrap();
    let y = g.input("y_hat", 14, (6, 1 << 15), 8).unwrap();
    let s = g.input("side", 10, (9, 5000), 8).unwrap();
    let plain = LayerOptions::new(9);
    let w = weights(random, &g, y, (10, 14 * 25), 9);
    let x = g.conv("head", y, 5, &w, plain).unwrap();
    let table = table_values(|x| x / (1.0 + (-x).exp()), (12, 8), (9, 9)).unwrap();
    let values = g
        .tensor("silu", "values", &[257], TensorData::I16(table))
        .unwrap();
    let table = Table {
        range_bits: 12,
        interpolate: true,
        values,
    };
    let add = LayerOptions {
        add: Some(s),
        ..plain
    };
    let x = g.push("silu", Op::Lookup { table }, x, add).unwrap();
    let by = Op::Multiply {
        by: "side".to_owned(),
    };
    let m = g.push("product", by, x, plain).unwrap();
    let activation = Activation::LeakyRelu {
        shift: 3,
        hi: 20_000,
    };
    let m = g
        .push("leaky", Op::Activate { activation }, m, plain)
        .unwrap();
    let sum = LayerOptions {
        add: Some(m),
        ..plain
    };
    let x = g.push("sum", Op::Add, x, sum).unwrap();
    let w = byte_weights(random, &g, (x, 7), (20, 10), 9);
    let d = g.dense("dense", x, Some(7), &w, plain).unwrap();
    let gate = Gate {
        shift: 9,
        activation: Activation::Identity,
    };
    let halves = Op::GateHalves {
        activation: Activation::relu(2000),
        gate,
    };
    let x = g
        .push(
            "halves",
            halves,
            d,
            LayerOptions {
                add: Some(x),
                ..plain
            },
        )
        .unwrap();
    let w = weights(random, &g, x, (6, 90), 9);
    let (tensor, requant) = g
        .affine("twice", &[6, 3, 3, 10], &w, Activation::Identity)
        .unwrap();
    let op = Op::TransposedConv {
        weights: tensor,
        requant,
    };
    let x = g.push("twice", op, x, plain).unwrap();
    let w = weights(random, &g, x, (48, 6), 6);
    let zero = LayerOptions {
        padding: Padding::Zero,
        ..LayerOptions::new(6)
    };
    let x = g.conv("stem", x, 1, &w, zero).unwrap();
    let x = g.shuffle("blocks", x, 4).unwrap();
    g.finish(&[("x_hat", x), ("features", d)]).unwrap();
}

/// Tables for cells whose sums have 9 fractional bits.
fn cell_tables(g: &mut GraphBuilder<'_>, name: &str) -> (Table, Table) {
    let update = table_values(|x| 1.0 / (1.0 + (-x).exp()), (12, 8), (9, 15)).unwrap();
    let tanh = table_values(f64::tanh, (11, 8), (9, 12)).unwrap();
    let mut table = |part: &str, range_bits, values| {
        let values = g
            .tensor(name, part, &[257], TensorData::I16(values))
            .unwrap();
        Table {
            range_bits,
            interpolate: true,
            values,
        }
    };
    (table("update", 12, update), table("candidate", 11, tanh))
}

fn streams(random: &mut Random, model: &mut ModelBuilder) {
    let mut g = model.graph("bytes", GraphKind::Streams, &[]).unwrap();
    let x = g.input("x", 11, (12, 1 << 13), 1).unwrap();
    let x = recurrent(random, &mut g, x);
    let w = weights(random, &g, x, (7, 13), 10);
    let x = g.dense("head", x, None, &w, LayerOptions::new(10)).unwrap();
    g.finish(&[("logits", x)]).unwrap();
}

/// A minGRU and a GRU with a residual.
fn recurrent(random: &mut Random, g: &mut GraphBuilder<'_>, x: Value) -> Value {
    let inputs = g.info(x).channels as usize;
    let (update, candidate) = cell_tables(g, "mingru");
    let w = byte_weights(random, g, (x, 6), (26, inputs), 9);
    let (tensor, requant) = g
        .byte_affine("mingru", &[26, inputs], &w, Activation::Identity)
        .unwrap();
    let op = Op::MinGru {
        narrow: 6,
        weights: tensor,
        requant,
        update,
        candidate: Some(candidate),
        guard: 8,
    };
    let x = g.push("mingru", op, x, LayerOptions::new(12)).unwrap();
    let (gate, candidate) = cell_tables(g, "gru");
    let w = byte_weights(random, g, (x, 6), (39, 13), 9);
    let (tensor, requant) = g
        .byte_affine("gru", &[39, 13], &w, Activation::Identity)
        .unwrap();
    let h = byte_weights(random, g, (x, 6), (39, 13), 9);
    let (hidden, hidden_requant) = g
        .byte_affine("gru.hidden", &[39, 13], &h, Activation::Identity)
        .unwrap();
    let op = Op::Gru {
        narrow: 6,
        weights: tensor,
        requant,
        hidden_narrow: 6,
        hidden_weights: hidden,
        hidden_requant,
        gate,
        candidate,
        guard: 6,
    };
    let add = LayerOptions {
        add: Some(x),
        ..LayerOptions::new(12)
    };
    g.push("gru", op, x, add).unwrap()
}

fn frames(random: &mut Random, model: &mut ModelBuilder) {
    let mut g = model.graph("frames", GraphKind::Frames, &[]).unwrap();
    let x = g.input("x", 5, (12, 1 << 12), 1).unwrap();
    let w = weights(random, &g, x, (11, 15), 12);
    let (tensor, requant) = g
        .affine("causal", &[11, 3, 5], &w, Activation::Identity)
        .unwrap();
    let op = Op::CausalConv {
        dilation: 4,
        weights: tensor,
        requant,
        gate: None,
    };
    let x = g.push("causal", op, x, LayerOptions::new(12)).unwrap();
    let x = recurrent(random, &mut g, x);
    g.finish(&[("y", x)]).unwrap();
}
