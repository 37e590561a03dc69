//! The network in integers: from weights to a model file, and as it runs.
//!
//! ```text
//! table (i8) ─ sum, Q10 ─ tanh ─▶ x (i8, Q7) ─▶ minGRU ─▶ h1 (i8, Q7) ─▶ minGRU ─▶ h2
//! features: matrix ─ Q10 ─ tanh ─▶ m (i16, Q8)     head: w (Q16) · m ─▶ logit (Q8)
//! ```
//!
//! States have 14 + 8 fractional bits and stay within ±1, whatever comes; with
//! `rcodec-fixed`'s cells every SIMD level gives the same bits, and streams in
//! lockstep those of each alone. The head learns: eight of its 255 rows for
//! each byte, from the error of the whole prediction.

use super::contexts::Contexts;
use super::network::{Param, Shape};
use super::train::Checkpoint;
use rcodec_core::{Budget, Error, Result};
use rcodec_entropy::logistic::squash;
use rcodec_fixed::{
    Activation, ByteMatrix, ByteMatrixSpec, Engine, GatedRecurrence, MinGruCell, MinGruState,
    QFormat, Requant, Residual, Table, TableSpec,
};
use rcodec_model::{Model, ModelData, ModelTensor, Record, TensorData};

/// The family of the model files.
const FAMILY: &str = "text-net";
/// Fractional bits of sums before a table, of activations, of states beyond
/// those of candidates.
const SUM_Q: i32 = 10;
const ACTIVATION_Q: i32 = 7;
const CANDIDATE_Q: i32 = 14;
const GUARD_BITS: u8 = 8;
/// Fractional bits of weights, and of biases beyond those: 8-bit weights are
/// below 2^(7 - q).
const WEIGHT_Q: std::ops::RangeInclusive<i32> = 3..=12;

/// Matrices of a network: each has tensors `NAME.weight` (i8), `NAME.bias` (i32)
/// and `NAME.shift` (u8).
const MATRICES: [&str; 3] = ["first", "second", "features"];

/// The largest number of fractional bits with which all values fit 8 bits.
fn bits_of(values: &[f32]) -> i32 {
    let most = values
        .iter()
        .fold(0.0f32, |most, value| most.max(value.abs()));
    let fits = |q: &i32| most * 2f32.powi(*q) <= 127.49;
    WEIGHT_Q.rev().find(fits).unwrap_or(*WEIGHT_Q.start())
}

fn byte(value: f32, q: i32) -> i8 {
    (value * 2f32.powi(q)).round().clamp(-127.0, 127.0) as i8
}

/// The model file's content for a checkpoint's averaged weights.
///
/// # Errors
/// Those of [`ModelTensor::new`].
pub fn quantise(checkpoint: &Checkpoint, record: Record) -> Result<ModelData> {
    let shape = &checkpoint.recipe.shape;
    let params = shape.params();
    let find = |name: &str| {
        let found = params.iter().find(|param| param.name == name);
        let param = found.ok_or_else(|| Error::Parameter(format!("no weights {name}")))?;
        Ok::<_, Error>((&checkpoint.state.ema[param.range()], param.shape))
    };
    let mut data = ModelData {
        record: Record {
            family: FAMILY.to_owned(),
            steps: checkpoint.step,
            hours: checkpoint.seconds / 3600.0,
            ..record
        },
        ..ModelData::default()
    };
    let mut add = |name: &str, dims: &[usize], values: TensorData| -> Result<()> {
        data.tensors.insert(ModelTensor::new(name, dims, values)?)
    };
    let (table, dims) = find("table")?;
    let q = bits_of(table).min(SUM_Q);
    let rows = table.iter().map(|&value| byte(value, q)).collect();
    add("table", &dims, TensorData::I8(rows))?;
    add("table.shift", &[1], TensorData::U8(vec![(SUM_Q - q) as u8]))?;
    for name in MATRICES {
        let (weights, dims) = find(&format!("{name}.weight"))?;
        let (bias, _) = find(&format!("{name}.bias"))?;
        let (mut bytes, mut biases, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &bias) in weights.chunks_exact(dims[1]).zip(bias) {
            let q = bits_of(row);
            bytes.extend(row.iter().map(|&value| byte(value, q)));
            biases.push((bias * 2f32.powi(ACTIVATION_Q + q)).round() as i32);
            shifts.push((ACTIVATION_Q + q - SUM_Q) as u8);
        }
        let rows = dims[0];
        add(&format!("{name}.weight"), &dims, TensorData::I8(bytes))?;
        add(&format!("{name}.bias"), &[rows], TensorData::I32(biases))?;
        add(&format!("{name}.shift"), &[rows], TensorData::U8(shifts))?;
    }
    let q12 = |value: &f32| (value * 4096.0).round().clamp(-32767.0, 32767.0) as i16;
    for name in ["head.weight", "head.bias"] {
        let (values, dims) = find(name)?;
        add(
            name,
            &dims,
            TensorData::I16(values.iter().map(q12).collect()),
        )?;
    }
    Ok(data)
}

/// A network, loaded.
#[derive(Debug)]
pub struct ByteNet {
    shape: Shape,
    table: Vec<i8>,
    table_shift: u32,
    activation: Table,
    cells: [MinGruCell; 2],
    features: ByteMatrix,
    feature_table: Table,
    /// Weights of each node, and its bias; Q12.
    head_q12: Vec<i16>,
    head_bias_q12: Vec<i16>,
}

/// A function from Q10 within ±8, as a table.
fn function(output_q: i32, f: impl Fn(f64) -> f64) -> Result<Table> {
    let values = (0..=1024).map(|i| {
        let y = f(f64::from(i - 512) / 64.0) * f64::from(1 << output_q);
        y.round().clamp(-32768.0, 32767.0) as i16
    });
    Table::new(&TableSpec {
        range_bits: 13,
        index_bits: 10,
        interpolate: true,
        values: values.collect(),
        input_q: QFormat::INTEGER,
        output_q: QFormat::INTEGER,
    })
}

impl ByteNet {
    /// Takes a model file apart.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model of another family,
    /// [`Error::Malformed`] for tensors that do not fit each other, and those of
    /// layers whose sums could overflow.
    pub fn from_model(model: &Model) -> Result<ByteNet> {
        if model.record().family != FAMILY {
            let what = format!("the model {} is no byte network", model.name());
            return Err(Error::unsupported(what));
        }
        let bad = || Error::malformed(0, "a byte network of another form");
        let dims = |name: &str| -> Result<[usize; 2]> {
            let dims = &model.tensor(name)?.info.dims;
            match dims[..] {
                [rows, columns] => Ok([rows as usize, columns as usize]),
                _ => Err(bad()),
            }
        };
        let i8s = |name: &str| match &model.tensor(name)?.data {
            TensorData::I8(values) => Ok(values.clone()),
            _ => Err(bad()),
        };
        let i16s = |name: &str| match &model.tensor(name)?.data {
            TensorData::I16(values) => Ok(values.clone()),
            _ => Err(bad()),
        };
        let u8s = |name: &str| match &model.tensor(name)?.data {
            TensorData::U8(values) => Ok(values.clone()),
            _ => Err(bad()),
        };
        let [rows, width] = dims("table")?;
        let [sums, _] = dims("first.weight")?;
        let [nodes, features] = dims("head.weight")?;
        let words_bits = (1..=20).find(|&bits| Contexts::rows(bits) == rows);
        let shape = Shape {
            width,
            units: sums / 2,
            features,
            words_bits: words_bits.ok_or_else(bad)?,
        };
        let params = shape.params();
        // The head of the network alone is for training only.
        let matrices =
            |param: &&Param| param.name.ends_with("weight") && !param.name.starts_with("alone");
        for param in params.iter().filter(matrices) {
            if dims(param.name)? != param.shape {
                return Err(bad());
            }
        }
        let matrix = |name: &str| -> Result<ByteMatrix> {
            let [outputs, inputs] = dims(&format!("{name}.weight"))?;
            let bias = match &model.tensor(&format!("{name}.bias"))?.data {
                TensorData::I32(values) => values.clone(),
                _ => return Err(bad()),
            };
            ByteMatrix::new(&ByteMatrixSpec {
                inputs,
                outputs,
                weights: i8s(&format!("{name}.weight"))?,
                requant: Requant {
                    bias,
                    shift: u8s(&format!("{name}.shift"))?,
                    activation: Activation::Identity,
                },
                gate: None,
            })
        };
        let cell = |name: &str| -> Result<MinGruCell> {
            let update = function(15, |x| 1.0 / (1.0 + (-x).exp()))?;
            let candidate = function(CANDIDATE_Q, f64::tanh)?;
            let recurrence = GatedRecurrence::new(GUARD_BITS)?;
            MinGruCell::new(matrix(name)?, update, Some(candidate), recurrence)
        };
        let table_shift = u8s("table.shift")?;
        let head_bias_q12 = i16s("head.bias")?;
        let fits = table_shift.len() == 1
            && u32::from(table_shift[0]) <= SUM_Q as u32
            && nodes == 256
            && head_bias_q12.len() == 256;
        if !fits {
            return Err(bad());
        }
        Ok(ByteNet {
            table: i8s("table")?,
            table_shift: u32::from(table_shift[0]),
            activation: function(ACTIVATION_Q, f64::tanh)?,
            cells: [cell("first")?, cell("second")?],
            features: matrix("features")?,
            feature_table: function(8, f64::tanh)?,
            head_q12: i16s("head.weight")?,
            head_bias_q12,
            shape,
        })
    }

    /// Features that a head sees.
    pub fn features(&self) -> usize {
        self.shape.features
    }

    /// A head with the model's weights.
    pub fn head(&self, rate_q16: u32) -> Head {
        let rows = self.head_q12.chunks_exact(self.shape.features);
        let rows = rows.zip(&self.head_bias_q12);
        let all = rows.flat_map(|(row, bias)| row.iter().chain([bias]));
        Head {
            weights_q24: all.map(|&w| i32::from(w) << 12).collect(),
            width: self.shape.features + 1,
            rate_q16,
        }
    }
}

/// Streams that a network reads in lockstep.
#[derive(Debug)]
pub struct Streams<'n> {
    net: &'n ByteNet,
    engine: Engine,
    contexts: Vec<Contexts>,
    states: [MinGruState; 2],
    /// `x`, `h1` and `h2` of each stream.
    inputs: [Vec<i8>; 3],
    outputs: Vec<i16>,
    sums: Vec<i16>,
    features_q8: Vec<i16>,
}

impl<'n> Streams<'n> {
    /// `count` streams before their first bytes.
    ///
    /// # Errors
    /// [`Error::Limit`] if the budget does not suffice.
    pub fn new(net: &'n ByteNet, engine: Engine, count: usize, budget: &Budget) -> Result<Self> {
        let (d, h, m) = (net.shape.width, net.shape.units, net.shape.features);
        let [first, second] = &net.cells;
        let mut streams = Streams {
            engine,
            contexts: vec![Contexts::new(net.shape.words_bits); count],
            states: [first.state(count, budget)?, second.state(count, budget)?],
            inputs: [d, d + h, d + 2 * h].map(|width| vec![0; count * width]),
            outputs: vec![0; count * h],
            sums: vec![0; count * m.max(d)],
            features_q8: vec![0; count * m],
            net,
        };
        streams.compute()?;
        Ok(streams)
    }

    /// What the head of a stream sees, Q8.
    pub fn features_q8(&self, stream: usize) -> &[i16] {
        let m = self.net.shape.features;
        &self.features_q8[stream * m..(stream + 1) * m]
    }

    /// Takes the next byte of every stream.
    ///
    /// # Errors
    /// None, with one byte for each stream.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.contexts.len() {
            return Err(Error::parameter("one byte for each stream"));
        }
        for (contexts, &byte) in self.contexts.iter_mut().zip(bytes) {
            contexts.advance(byte);
        }
        self.compute()
    }

    fn compute(&mut self) -> Result<()> {
        let net = self.net;
        let (d, h, m) = (net.shape.width, net.shape.units, net.shape.features);
        let count = self.contexts.len();
        let [x, both, all] = &mut self.inputs;
        let sums = &mut self.sums[..d];
        for (contexts, x) in self.contexts.iter().zip(x.chunks_exact_mut(d)) {
            sums.fill(0);
            for id in contexts.ids() {
                let row = &net.table[id as usize * d..][..d];
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += i16::from(value);
                }
            }
            // At most 9 · 127 · 2^shift, which may saturate for large weights.
            for sum in sums.iter_mut() {
                let value = i32::from(*sum) << net.table_shift;
                *sum = value.clamp(-(1 << 14), 1 << 14) as i16;
            }
            let mut values = vec![0; d];
            net.activation.apply(&self.engine, sums, &mut values)?;
            for (x, &value) in x.iter_mut().zip(&values) {
                *x = value.clamp(-127, 127) as i8;
            }
        }
        let narrow = |y: i16| ((i32::from(y) + 64) >> 7).clamp(-127, 127) as i8;
        let [first, second] = &mut self.states;
        net.cells[0].step(&self.engine, first, x, &mut self.outputs)?;
        for i in 0..count {
            let row = &mut both[i * (d + h)..(i + 1) * (d + h)];
            row[..d].copy_from_slice(&x[i * d..(i + 1) * d]);
            for (to, &y) in row[d..].iter_mut().zip(&self.outputs[i * h..]) {
                *to = narrow(y);
            }
        }
        net.cells[1].step(&self.engine, second, both, &mut self.outputs)?;
        for i in 0..count {
            let row = &mut all[i * (d + 2 * h)..(i + 1) * (d + 2 * h)];
            row[..d + h].copy_from_slice(&both[i * (d + h)..(i + 1) * (d + h)]);
            for (to, &y) in row[d + h..].iter_mut().zip(&self.outputs[i * h..]) {
                *to = narrow(y);
            }
        }
        let sums = &mut self.sums[..count * m];
        net.features
            .apply(&self.engine, all, Residual::None, sums)?;
        net.feature_table
            .apply(&self.engine, sums, &mut self.features_q8)
    }
}

/// The last layer, which learns.
#[derive(Clone, Debug)]
pub struct Head {
    /// For each node its weights and its bias.
    weights_q24: Vec<i32>,
    width: usize,
    rate_q16: u32,
}

impl Head {
    /// What the network adds to the core's logit at a node, Q8.
    pub fn logit_q8(&self, features_q8: &[i16], node: usize) -> i32 {
        let row = &self.weights_q24[node * self.width..(node + 1) * self.width];
        let products = row.iter().zip(features_q8.iter().chain([&256]));
        let sum_q20: i64 = products
            .map(|(&w, &x)| i64::from(w >> 12) * i64::from(x))
            .sum();
        ((sum_q20 + (1 << 11)) >> 12).clamp(-2815, 2815) as i32
    }

    /// Learns a bit that was predicted with this probability.
    pub fn learn(&mut self, features_q8: &[i16], node: usize, bit: bool, p1_q16: u32) {
        let error_q16 = (i32::from(bit) << 16) - p1_q16 as i32;
        let step = (i64::from(error_q16) * i64::from(self.rate_q16)) >> 8; // Q24
        let row = &mut self.weights_q24[node * self.width..(node + 1) * self.width];
        for (w, &x) in row.iter_mut().zip(features_q8.iter().chain([&256])) {
            let change = (step * i64::from(x)) >> 8;
            *w = (i64::from(*w) + change).clamp(-(1 << 27), 1 << 27) as i32;
        }
    }
}

/// What texts cost with the core alone, with the network's head as it was
/// trained, and with one that learns on; in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Costs {
    /// Bytes of text.
    pub bytes: usize,
    /// The core alone.
    pub core: f64,
    /// With the network.
    pub fixed: f64,
    /// With a head that learns on.
    pub adaptive: f64,
}

impl Costs {
    /// Adds those of another text.
    pub fn add(&mut self, other: &Costs) {
        self.bytes += other.bytes;
        self.core += other.core;
        self.fixed += other.fixed;
        self.adaptive += other.adaptive;
    }
}

/// Runs a text through the network.
///
/// # Errors
/// Those of [`Streams::new`].
pub fn measure(net: &ByteNet, piece: &super::Piece, rate_q16: u32, gain_q8: i32) -> Result<Costs> {
    let budget = Budget::new(rcodec_core::Limits::default());
    let mut streams = Streams::new(net, Engine::new(), 1, &budget)?;
    let (fixed, mut adaptive) = (net.head(0), net.head(rate_q16));
    let mut costs = Costs {
        bytes: piece.bytes.len(),
        core: super::cost(&piece.bytes, &piece.core_q8),
        ..Costs::default()
    };
    let bits = |p1_q16: u32, bit: bool| {
        let p = if bit { p1_q16 } else { 65536 - p1_q16 };
        16.0 - f64::from(p).log2()
    };
    for (&byte, core) in piece.bytes.iter().zip(&piece.core_q8) {
        let features = streams.features_q8(0);
        for (i, &x_q8) in core.iter().enumerate() {
            let node = (256 | usize::from(byte)) >> (8 - i);
            let bit = byte >> (7 - i) & 1 == 1;
            let p = |head: &Head| {
                let added = (head.logit_q8(features, node) * gain_q8) >> 8;
                squash((i32::from(x_q8) + added).clamp(-2815, 2815))
            };
            costs.fixed += bits(p(&fixed), bit);
            let p1_q16 = p(&adaptive);
            costs.adaptive += bits(p1_q16, bit);
            adaptive.learn(features, node, bit, p1_q16);
        }
        streams.advance(&[byte])?;
    }
    Ok(costs)
}
