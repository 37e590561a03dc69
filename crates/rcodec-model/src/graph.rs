//! What a network is, as plain data: nodes that name what they take.
//!
//! A model holds several [`Graph`]s (analysis, synthesis, the steps of a
//! context model …) over one store of named tensors; a codec picks the graphs
//! it needs by name. Nodes stand in the order in which they are computed and
//! refer to inputs and to earlier nodes by name, so that there are no cycles.
//! Weights, biases, shifts and tables are tensors of the model, by name too:
//! the sizes of a layer are those of its tensors.
//!
//! A value is a tensor of `i16`, positions by channels, with a Q-format. Its
//! possible range is not written down but derived from the inputs' bounds, the
//! weights and the activations, by the same rules in the exporter and in the
//! loader: there is nothing in a file to be believed.

use serde::{Deserialize, Serialize};

/// The greatest magnitude of an `i16`, the bound of an input of which nothing
/// is known.
pub const FULL_SCALE: u32 = 1 << 15;

/// One network, or the part of one that runs in one go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// `analysis`, `synthesis`, …: by which a codec asks for it.
    pub name: String,
    /// What positions are.
    pub kind: GraphKind,
    /// What is given.
    pub inputs: Vec<Input>,
    /// Choices made anew for every run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,
    /// The layers, in the order in which they are computed.
    pub nodes: Vec<Node>,
    /// What comes out.
    pub outputs: Vec<Output>,
}

/// What the positions of a graph's values are, and so which layers it may
/// have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphKind {
    /// Pixels, rows by columns. No layer remembers anything.
    Spatial,
    /// Streams in lockstep (`1 x streams`): one run is one step of time, and
    /// recurrent cells remember the last.
    Streams,
    /// Frames of one stream (`1 x frames`), oldest first: causal convolutions
    /// and recurrent cells remember those of earlier runs. How frames are cut
    /// into runs changes nothing.
    Frames,
}

/// A value from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name among the graph's values.
    pub name: String,
    /// Values of a position.
    pub channels: u32,
    /// Fractional bits, 0 to 31.
    pub q: u8,
    /// The greatest magnitude, 1 to 32768; running with more is an error.
    pub max: u32,
    /// Samples of the medium from one position to the next, in both directions
    /// for pictures: 16 for latents at 1/16 of the picture's height and width.
    /// Work per sample is counted with it, and values can only meet if theirs
    /// agree.
    pub stride: u32,
}

/// A choice among variants of gains, the same for all nodes that name it:
/// the quality of a picture, for instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Its name.
    pub name: String,
    /// Number of variants; a run chooses one of `0..count`.
    pub count: u32,
}

/// A value that leaves the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// By which the codec asks for it.
    pub name: String,
    /// The input or node.
    pub value: String,
}

/// One layer and the value it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The name of its value.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What from: an input or an earlier node.
    pub input: String,
    /// What is added in the end, saturating: a value of the same shape and
    /// Q-format as the node's. The residual connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// Fractional bits of the value.
    pub q: u8,
}

/// What a node computes. Tensors are meant by name; what their extents must be
/// stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Convolution over all channels: 1x1, 3x3, 5x5, … up to 15x15.
    Conv {
        /// Positions from one window to the next, 1 or 2.
        stride: u8,
        /// What the windows see outside.
        padding: Padding,
        /// `i8` or `i16`, `[out][row][column][in]`.
        weights: String,
        /// After the sums.
        requant: Requant,
        /// Whether the second half of the outputs multiplies the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate: Option<Gate>,
    },
    /// Convolution of every channel by itself: 3x3 or 5x5.
    Depthwise {
        /// 1 or 2.
        stride: u8,
        /// What the windows see outside.
        padding: Padding,
        /// `i8` or `i16`, `[row][column][channel]`.
        weights: String,
        /// After the sums.
        requant: Requant,
    },
    /// Transposed convolution that doubles height and width, zeros outside.
    TransposedConv {
        /// `i8` or `i16`, `[out][row][column][in]`, 2x2 to 5x5.
        weights: String,
        /// After the sums.
        requant: Requant,
    },
    /// Causal convolution over time, dilated; in [`GraphKind::Frames`] only.
    CausalConv {
        /// Frames from one tap to the next.
        dilation: u32,
        /// `i8` or `i16`, `[out][tap][in]`, the oldest tap first.
        weights: String,
        /// After the sums.
        requant: Requant,
        /// Whether the second half of the outputs multiplies the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate: Option<Gate>,
    },
    /// A matrix for every position. With `i8` weights the inputs are narrowed
    /// to 8 bits first, which makes it the fastest layer.
    Dense {
        /// `i8` or `i16`, `[out][in]`.
        weights: String,
        /// Inputs become `sat8((x + round) >> narrow)`, 0 to 8; for `i8`
        /// weights, and only for those.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        narrow: Option<u8>,
        /// After the sums.
        requant: Requant,
        /// Whether the second half of the outputs multiplies the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate: Option<Gate>,
    },
    /// The minimal gated recurrent unit; not in [`GraphKind::Spatial`].
    MinGru {
        /// Narrows the inputs, as in [`Op::Dense`].
        narrow: u8,
        /// `i8`, `[gates, then candidates][in]`.
        weights: String,
        /// After the sums; no activation.
        requant: Requant,
        /// From the gates' sums to Q15.
        update: Table,
        /// From the candidates' sums to candidates; as they are if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        candidate: Option<Table>,
        /// Bits that the state has more than the candidates, 0 to 13.
        guard: u8,
    },
    /// The gated recurrent unit; not in [`GraphKind::Spatial`].
    Gru {
        /// Narrows the inputs, as in [`Op::Dense`].
        narrow: u8,
        /// `i8`, `[z, r, n][in]`.
        weights: String,
        /// After the sums over the inputs; no activation.
        requant: Requant,
        /// Narrows the outputs for the hidden weights.
        hidden_narrow: u8,
        /// `i8`, `[z, r, n][hidden]`.
        hidden_weights: String,
        /// After the sums over the last outputs; no activation.
        hidden_requant: Requant,
        /// From the sums of `z` and `r` to Q15.
        gate: Table,
        /// From the sums of `n` to candidates.
        candidate: Table,
        /// Bits that the state has more than the candidates, 0 to 13.
        guard: u8,
    },
    /// A gain, bias and shift for each channel, in one or several variants.
    Gain {
        /// Which of the graph's selectors chooses the variant; none if there
        /// is only one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        selector: Option<String>,
        /// `i16`, `[variant][channel]`.
        gains: String,
        /// After the products; biases and shifts are `[variant][channel]`.
        requant: Requant,
    },
    /// The product of the two halves of the channels; the Q-format stays.
    GateHalves {
        /// Of the first half.
        activation: Activation,
        /// Of the second half, and the shift.
        gate: Gate,
    },
    /// The product with another value, whose Q-format (at most 15) is the
    /// shift.
    Multiply {
        /// The other value.
        by: String,
    },
    /// An activation by itself.
    Activate {
        /// The function.
        activation: Activation,
    },
    /// A function given by a table.
    Lookup {
        /// The function.
        table: Table,
    },
    /// The sum of `input` and `add`.
    Add,
    /// Depth to space: channel `(dy · factor + dx) · channels + c` becomes
    /// channel `c` of position `(dy, dx)` of a square.
    PixelShuffle {
        /// Height and width of the squares, 1 to 64.
        factor: u8,
    },
    /// Space to depth, the inverse; the last rows and columns are repeated
    /// where the factor divides not.
    PixelUnshuffle {
        /// Height and width of the squares, 1 to 64.
        factor: u8,
    },
}

/// What windows see beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Zeros.
    Zero,
    /// The value at the edge.
    Replicate,
}

/// From the sums of a layer to `i16`:
/// `y[c] = activation(sat16((sum + bias[c] + round) >> shift[c]))`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requant {
    /// `i32`, `[out]`, in the sums' scale; zeros if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
    /// `u8`, `[out]`, 0 to 30.
    pub shift: String,
    /// What follows.
    #[serde(default, skip_serializing_if = "Activation::is_identity")]
    pub activation: Activation,
}

/// The product of the halves of a layer's outputs:
/// `sat16((a · activation(b) + round) >> shift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The gates' fractional bits, 0 to 15.
    pub shift: u8,
    /// Of the gates.
    #[serde(default, skip_serializing_if = "Activation::is_identity")]
    pub activation: Activation,
}

/// What follows the saturation to 16 bits, in the output's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `clamp(y, lo, hi)`.
    Clip {
        /// The least value.
        lo: i16,
        /// The greatest value.
        hi: i16,
    },
    /// `min(max(y, y >> shift), hi)`.
    LeakyRelu {
        /// 1 to 15.
        shift: u8,
        /// The greatest value.
        hi: i16,
    },
}

/// A function of one value, clamped to `-2^range_bits..2^range_bits`, from a
/// table of `2^n + 1` equidistant points (`n` is 4 to 12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// 3 to 15.
    pub range_bits: u8,
    /// Whether values between the points are interpolated.
    pub interpolate: bool,
    /// `i16`, `[2^n + 1]`.
    pub values: String,
}

impl Activation {
    /// Whether it does nothing.
    pub fn is_identity(&self) -> bool {
        *self == Activation::Identity
    }

    /// The ReLU, clipped at `hi`.
    pub fn relu(hi: i16) -> Activation {
        Activation::Clip { lo: 0, hi }
    }
}

impl From<Activation> for rcodec_fixed::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Identity => Self::Identity,
            Activation::Clip { lo, hi } => Self::Clip { lo, hi },
            Activation::LeakyRelu { shift, hi } => Self::LeakyRelu { shift, hi },
        }
    }
}

impl From<Gate> for rcodec_fixed::Gate {
    fn from(gate: Gate) -> Self {
        rcodec_fixed::Gate {
            shift: gate.shift,
            activation: gate.activation.into(),
        }
    }
}

impl From<Padding> for rcodec_fixed::Padding {
    fn from(padding: Padding) -> Self {
        match padding {
            Padding::Zero => Self::Zero,
            Padding::Replicate => Self::Replicate,
        }
    }
}
