//! What a network is made of, described once.
//!
//! The same [`Graph`] is run by burn in training (`nn`) and turned into the
//! integer model (`export`), so the two cannot drift apart. It says everything
//! an integer machine needs: the Q-format of every value, where values are
//! clipped, which layers add what. Weights live outside, in one flat vector
//! that a [`Layout`] divides into parameters.
//!
//! Values are real numbers `n · 2^-q` with `n` in 16 bits. Convolutions are
//! followed by bias, rounding to the output's format, activation, an optional
//! gate, and an optional residual sum, in the order of `rcodec-fixed`.

mod block;
mod config;
pub mod lossy;
mod params;
mod prior;

pub use block::block;
pub use config::{INDICES_PER_UNIT, NetworkConfig, SCALE_MAX, SCALE_MIN, log_scale_step};
pub use params::{Init, Layout, Param, ParamSpec};

/// Bits of a gate: it is `n · 2^-12`.
pub const GATE_SHIFT: u8 = 12;
/// The largest gate in real units.
pub const GATE_MAX: f32 = 4.0;

/// A value of a graph: the output of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub usize);

/// What follows the rounding of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Nothing but the saturation to 16 bits.
    Identity,
    /// Clipped to `[lo, hi]`, in real units.
    Clip {
        /// The least value.
        lo: f32,
        /// The greatest value.
        hi: f32,
    },
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// An input of the graph.
    Input,
    /// Squares of `factor * factor` positions become channels, position by
    /// position: channel `(dy · factor + dx) · channels + c`.
    Unshuffle {
        /// What is rearranged.
        input: Value,
        /// Side of the squares.
        factor: usize,
    },
    /// The inverse of [`Op::Unshuffle`].
    Shuffle {
        /// What is rearranged.
        input: Value,
        /// Side of the squares.
        factor: usize,
    },
    /// Convolution over all channels, edges replicated.
    Conv {
        /// What is convolved.
        input: Value,
        /// 1 or 3.
        kernel: usize,
        /// 1 or 2.
        stride: usize,
        /// `[row][column][in][out]`.
        weight: Param,
        /// `[out]`.
        bias: Param,
        /// Of the sums; of their first half if there is a gate.
        activation: Activation,
        /// Whether the second half of the sums, clipped to `0..=`[`GATE_MAX`],
        /// multiplies the first.
        gated: bool,
        /// What is added in the end, saturating.
        residual: Option<Value>,
    },
    /// Depthwise 3x3 convolution, edges replicated.
    Depthwise {
        /// What is convolved.
        input: Value,
        /// `[row][column][channel]`.
        weight: Param,
        /// `[channel]`.
        bias: Param,
    },
    /// A gain, and perhaps a bias, for each channel and quality step.
    QualityGain {
        /// What is scaled.
        input: Value,
        /// Natural logarithms of the gains, `[anchor][channel]`.
        log_gain: Param,
        /// `[anchor][channel]`.
        bias: Option<Param>,
        /// What follows.
        activation: Activation,
    },
}

/// An operation and what is known about its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// For messages and reports.
    pub name: String,
    /// The operation.
    pub op: Op,
    /// Channels of the output.
    pub channels: usize,
    /// Fractional bits of the output.
    pub q: u8,
    /// The greatest magnitude of the output's integers, up to 32768.
    pub max_abs: u32,
}

/// Nodes in the order in which they are computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// For messages, parameters' names and the model file.
    pub name: String,
    /// Value `i` is the output of node `i`.
    pub nodes: Vec<Node>,
    /// What the graph gives.
    pub outputs: Vec<Value>,
}

impl Graph {
    /// The node that gives a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.0]
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> Vec<Value> {
        (0..self.nodes.len())
            .map(Value)
            .filter(|&value| self.node(value).op == Op::Input)
            .collect()
    }

    /// Multiply-adds for each position of the first input.
    pub fn work_per_position(&self) -> f64 {
        // Positions of each value per position of the first input.
        let mut density = vec![1.0f64; self.nodes.len()];
        let mut work = 0.0;
        for (i, node) in self.nodes.iter().enumerate() {
            density[i] = match &node.op {
                Op::Input => 1.0,
                Op::Unshuffle { input, factor } => density[input.0] / (factor * factor) as f64,
                Op::Shuffle { input, factor } => density[input.0] * (factor * factor) as f64,
                Op::Conv { input, stride, .. } => density[input.0] / (stride * stride) as f64,
                Op::Depthwise { input, .. } | Op::QualityGain { input, .. } => density[input.0],
            };
            let per_output = match &node.op {
                Op::Conv {
                    input,
                    kernel,
                    gated,
                    ..
                } => {
                    let sums = node.channels << u32::from(*gated);
                    kernel * kernel * self.node(*input).channels * sums
                }
                Op::Depthwise { .. } => 9 * node.channels,
                Op::QualityGain { .. } => node.channels,
                _ => 0,
            };
            work += density[i] * per_output as f64;
        }
        work
    }
}

/// Puts a graph together and asks a [`Layout`] for its parameters.
#[derive(Debug)]
pub struct Builder<'a> {
    graph: Graph,
    layout: &'a mut Layout,
    config: &'a NetworkConfig,
}

/// What a convolution does besides its weights; the default is a 1x1 with no
/// activation.
#[derive(Clone, Copy, Debug)]
pub struct ConvOptions {
    /// 1 or 3.
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
    /// What follows the sum.
    pub activation: Activation,
    /// What is added in the end.
    pub residual: Option<Value>,
}

impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions {
            kernel: 1,
            stride: 1,
            activation: Activation::Identity,
            residual: None,
        }
    }
}

impl<'a> Builder<'a> {
    /// An empty graph.
    pub fn new(name: &str, layout: &'a mut Layout, config: &'a NetworkConfig) -> Builder<'a> {
        let name = name.to_owned();
        let graph = Graph {
            name,
            ..Graph::default()
        };
        Builder {
            graph,
            layout,
            config,
        }
    }

    /// The sizes of the network.
    pub fn config(&self) -> &'a NetworkConfig {
        self.config
    }

    /// Channels of a value.
    pub fn channels(&self, value: Value) -> usize {
        self.graph.node(value).channels
    }

    /// Ends the graph.
    pub fn finish(&mut self, outputs: &[Value]) -> Graph {
        let mut graph = std::mem::take(&mut self.graph);
        graph.outputs = outputs.to_vec();
        graph
    }

    /// An input of `channels` channels, integers up to `max_abs`.
    pub fn input(&mut self, name: &str, channels: usize, q: u8, max_abs: u32) -> Value {
        self.push(name, Op::Input, channels, q, max_abs)
    }

    /// [`Op::Unshuffle`].
    pub fn unshuffle(&mut self, name: &str, input: Value, factor: usize) -> Value {
        let from = self.graph.node(input).clone();
        let channels = from.channels * factor * factor;
        self.push(
            name,
            Op::Unshuffle { input, factor },
            channels,
            from.q,
            from.max_abs,
        )
    }

    /// [`Op::Shuffle`].
    pub fn shuffle(&mut self, name: &str, input: Value, factor: usize) -> Value {
        let from = self.graph.node(input).clone();
        let channels = from.channels / (factor * factor);
        self.push(
            name,
            Op::Shuffle { input, factor },
            channels,
            from.q,
            from.max_abs,
        )
    }

    /// A convolution to `out` channels with `q` fractional bits.
    pub fn conv(
        &mut self,
        name: &str,
        input: Value,
        (out, q): (usize, u8),
        options: ConvOptions,
        init: Init,
    ) -> Value {
        let inputs = self.channels(input) * options.kernel * options.kernel;
        let weight = self.param(name, "weight", &[inputs, out], init, true);
        let bias = self.param(name, "bias", &[out], Init::Constant(0.0), false);
        let op = Op::Conv {
            input,
            kernel: options.kernel,
            stride: options.stride,
            weight,
            bias,
            activation: options.activation,
            gated: false,
            residual: options.residual,
        };
        let max_abs = match options.residual {
            None => max_abs(options.activation, q),
            Some(_) => 1 << 15,
        };
        self.push(name, op, out, q, max_abs)
    }

    /// A 1x1 convolution to `2 · out` channels, one half of which multiplies
    /// the other.
    pub fn gated(&mut self, name: &str, input: Value, (out, q): (usize, u8)) -> Value {
        let inputs = self.channels(input);
        let init = Init::Normal((1.0 / inputs as f32).sqrt());
        let weight = self.param(name, "weight", &[inputs, 2 * out], init, true);
        // Gates begin near 1.
        let bias = (0..2 * out).map(|i| f32::from(i >= out)).collect();
        let bias = self.param(name, "bias", &[2 * out], Init::Values(bias), false);
        let op = Op::Conv {
            input,
            kernel: 1,
            stride: 1,
            weight,
            bias,
            activation: Activation::Identity,
            gated: true,
            residual: None,
        };
        self.push(name, op, out, q, 1 << 15)
    }

    /// A depthwise 3x3 convolution.
    pub fn depthwise(&mut self, name: &str, input: Value, q: u8, init: Init) -> Value {
        let channels = self.channels(input);
        let weight = self.param(name, "weight", &[9, channels], init, true);
        let bias = self.param(name, "bias", &[channels], Init::Constant(0.0), false);
        let op = Op::Depthwise {
            input,
            weight,
            bias,
        };
        self.push(name, op, channels, q, 1 << 15)
    }

    /// A gain for each channel and quality: at first
    /// `quality_gain^exponent`, and if `bias_slope` is given a bias of
    /// `bias_slope · ln quality_gain`.
    pub fn quality_gain(
        &mut self,
        name: &str,
        input: Value,
        q: u8,
        exponent: f32,
        bias_slope: Option<f32>,
        activation: Activation,
    ) -> Value {
        let channels = self.channels(input);
        let anchors = self.config.log_gain_anchors();
        let spread = |factor: f32| {
            let per_anchor = anchors.iter().map(|gain| factor * gain);
            Init::Values(
                per_anchor
                    .flat_map(|value| std::iter::repeat_n(value, channels))
                    .collect(),
            )
        };
        let shape = [anchors.len(), channels];
        let log_gain = self.param(name, "log_gain", &shape, spread(exponent), false);
        let bias = bias_slope.map(|slope| self.param(name, "bias", &shape, spread(slope), false));
        let op = Op::QualityGain {
            input,
            log_gain,
            bias,
            activation,
        };
        self.push(name, op, channels, q, max_abs(activation, q))
    }

    /// Changes how a parameter of this graph (`layer.part`) begins.
    pub fn set_init(&mut self, name: &str, init: Init) {
        let name = format!("{}.{name}", self.graph.name);
        self.layout.set_init(&name, init);
    }

    /// A parameter of the layer `name` of this graph.
    fn param(&mut self, name: &str, part: &str, shape: &[usize], init: Init, decay: bool) -> Param {
        let name = format!("{}.{name}.{part}", self.graph.name);
        self.layout.add(name, shape, init, decay)
    }

    fn push(&mut self, name: &str, op: Op, channels: usize, q: u8, max_abs: u32) -> Value {
        self.graph.nodes.push(Node {
            name: format!("{}.{name}", self.graph.name),
            op,
            channels,
            q,
            max_abs,
        });
        Value(self.graph.nodes.len() - 1)
    }
}

/// The clip's bounds as integers of `q` fractional bits, within 16 bits.
pub fn clip_bounds(activation: Activation, q: u8) -> (i16, i16) {
    let unit = f64::from(1u32 << q);
    let to_int = |v: f32| (f64::from(v) * unit).round_ties_even() as i16;
    match activation {
        Activation::Identity => (i16::MIN, i16::MAX),
        Activation::Clip { lo, hi } => (to_int(lo), to_int(hi)),
    }
}

/// The greatest magnitude after an activation.
fn max_abs(activation: Activation, q: u8) -> u32 {
    let (lo, hi) = clip_bounds(activation, q);
    u32::from(lo.unsigned_abs()).max(u32::from(hi.unsigned_abs()))
}
