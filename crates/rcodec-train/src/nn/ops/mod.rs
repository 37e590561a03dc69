//! The operations that burn lacks, or has only slowly: windows with replicated
//! edges, depthwise convolution of channels-last tensors, and what follows a
//! sum (bias, rounding, clipping, gate) in one pass.
//!
//! Tensors are `[image][row][column][channel]` as in `rcodec-fixed`, so that a
//! 1x1 convolution is a plain matrix product.
//!
//! [`Kernels`] are forward and backward passes on tensors without history;
//! every backend has them from burn's own operations ([`generic`]), `flex` has
//! direct loops ([`flex`]). [`TrainBackend`] are the differentiable operations.

mod autodiff;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod flex_sequence;
mod generic;
mod sequence;

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor, TensorPrimitive};

/// A square window that moves over rows and columns; output `i` is centred on
/// input `i · stride`, positions outside are those at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Odd.
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
}

impl Window {
    /// Outputs for `len` inputs.
    pub fn outputs(self, len: usize) -> usize {
        len.div_ceil(self.stride)
    }

    /// The input that output `at` sees with tap `tap`.
    pub fn input(self, at: usize, tap: usize, len: usize) -> usize {
        (at * self.stride + tap)
            .saturating_sub(self.kernel / 2)
            .min(len - 1)
    }
}

/// What becomes of some columns of sums: `y = clamp(round(sum), lo, hi)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    /// The least value, in real units.
    pub lo: f64,
    /// The greatest value.
    pub hi: f64,
    /// Rounded to multiples of `1 / unit`, halves upwards; not at all if `None`.
    pub unit: Option<f64>,
}

impl Finish {
    /// The function itself.
    pub fn apply(self, sum: f64) -> f64 {
        let rounded = match self.unit {
            Some(unit) => (sum * unit + 0.5).floor() / unit,
            None => sum,
        };
        rounded.clamp(self.lo, self.hi)
    }
}

/// How the columns of a matrix of sums are finished: all alike, or values and
/// their gates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Columns {
    /// The first half, or all.
    pub values: Finish,
    /// The second half, if it holds gates.
    pub gates: Option<Finish>,
}

/// Weights and what the optimiser knows of them, each one flat vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adam<T> {
    /// The weights.
    pub weights: T,
    /// Mean of gradients.
    pub mean: T,
    /// Mean of their squares.
    pub square: T,
    /// Averaged weights.
    pub ema: T,
}

/// The numbers of one step of AdamW (Loshchilov and Hutter, 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Factor of the gradients, which clips their norm.
    pub grad_scale: f32,
    /// Decay of the mean.
    pub beta1: f32,
    /// Decay of the squares.
    pub beta2: f32,
    /// Learning rate over the mean's bias correction.
    pub rate: f32,
    /// `1 / sqrt` of the squares' bias correction.
    pub square_scale: f32,
    /// Share of a weight that is taken off, where weights decay.
    pub weight_decay: f32,
    /// Decay of the averaged weights.
    pub ema_decay: f32,
}

/// Keeps the division of AdamW finite.
pub const ADAM_EPSILON: f32 = 1e-8;

/// Forward and backward passes on tensors without history.
pub trait Kernels: Backend {
    /// `[n][h][w][c]` to `[n][h'][w'][k·k·c]`.
    fn unfold(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        generic::unfold::<Self>(x, window)
    }

    /// The adjoint of [`Kernels::unfold`], to `[n][h][w][c]` = `dims`.
    fn fold(grad: FloatTensor<Self>, window: Window, dims: [usize; 4]) -> FloatTensor<Self> {
        generic::fold::<Self>(grad, window, dims)
    }

    /// Depthwise 3x3 convolution with weights `[9][c]`.
    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::depthwise::<Self>(x, weight)
    }

    /// Gradients of [`Kernels::depthwise`] by `x` and by the weights.
    fn depthwise_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        generic::depthwise_backward::<Self>(x, weight, grad)
    }

    /// Finishes sums `[position][column]`, to which `bias` `[column]` is added.
    fn finish(
        sums: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        columns: Columns,
    ) -> FloatTensor<Self> {
        generic::finish::<Self>(sums, bias, columns)
    }

    /// Gradients of [`Kernels::finish`] by the sums and by the bias, given its
    /// output: none passes where it is clipped, all passes through rounding.
    fn finish_backward(
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        columns: Columns,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        generic::finish_backward::<Self>(output, grad, columns)
    }

    /// `[position][2c]` to `[position][c]`: the first half times the second,
    /// then `finish`.
    fn gate(x: FloatTensor<Self>, finish: Finish) -> FloatTensor<Self> {
        generic::gate::<Self>(x, finish)
    }

    /// Gradient of [`Kernels::gate`], its clipping left out.
    fn gate_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::gate_backward::<Self>(x, grad)
    }

    /// The gated recurrence `h[t] = h[t-1] + update[t] · (candidate[t] - h[t-1])`
    /// from states of zero, of `[step · stream][unit]`.
    fn recur(
        update: FloatTensor<Self>,
        candidate: FloatTensor<Self>,
        steps: usize,
    ) -> FloatTensor<Self> {
        sequence::recur::<Self>(update, candidate, steps)
    }

    /// Gradients of [`Kernels::recur`] by updates and by candidates, given its
    /// output.
    fn recur_backward(
        inputs: (FloatTensor<Self>, FloatTensor<Self>),
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        steps: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        sequence::recur_backward::<Self>(inputs, output, grad, steps)
    }

    /// For each `count` numbers, the sum of these rows of a table.
    fn embed(table: FloatTensor<Self>, ids: IntTensor<Self>, count: usize) -> FloatTensor<Self> {
        sequence::embed::<Self>(table, ids, count)
    }

    /// The gradient of [`Kernels::embed`] by the table, of that shape.
    fn embed_backward(
        dims: [usize; 2],
        ids: IntTensor<Self>,
        count: usize,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        sequence::embed_backward::<Self>(dims, ids, count, grad)
    }

    /// One step of AdamW and of the averaged weights.
    fn adamw(
        state: Adam<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        decays: FloatTensor<Self>,
        step: &AdamStep,
    ) -> Adam<FloatTensor<Self>> {
        generic::adamw::<Self>(state, grad, decays, step)
    }
}

/// The differentiable operations.
///
/// Gradients flow through rounding as if it were not there.
pub trait TrainBackend: Backend {
    /// See [`Kernels::unfold`].
    fn unfold_op(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self>;
    /// See [`Kernels::depthwise`].
    fn depthwise_op(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    /// See [`Kernels::finish`].
    fn finish_op(
        sums: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        columns: Columns,
    ) -> FloatTensor<Self>;
    /// See [`Kernels::gate`].
    fn gate_op(x: FloatTensor<Self>, finish: Finish) -> FloatTensor<Self>;
    /// See [`Kernels::recur`].
    fn recur_op(
        update: FloatTensor<Self>,
        candidate: FloatTensor<Self>,
        steps: usize,
    ) -> FloatTensor<Self>;
    /// See [`Kernels::embed`].
    fn embed_op(table: FloatTensor<Self>, ids: IntTensor<Self>, count: usize) -> FloatTensor<Self>;
}

/// The operations of a backend without history are its kernels.
macro_rules! plain_backend {
    ($backend:ty) => {
        impl TrainBackend for $backend {
            fn unfold_op(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
                <Self as Kernels>::unfold(x, window)
            }
            fn depthwise_op(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
                <Self as Kernels>::depthwise(x, weight)
            }
            fn finish_op(
                sums: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                columns: Columns,
            ) -> FloatTensor<Self> {
                <Self as Kernels>::finish(sums, bias, columns)
            }
            fn gate_op(x: FloatTensor<Self>, finish: Finish) -> FloatTensor<Self> {
                <Self as Kernels>::gate(x, finish)
            }
            fn recur_op(
                update: FloatTensor<Self>,
                candidate: FloatTensor<Self>,
                steps: usize,
            ) -> FloatTensor<Self> {
                <Self as Kernels>::recur(update, candidate, steps)
            }
            fn embed_op(
                table: FloatTensor<Self>,
                ids: IntTensor<Self>,
                count: usize,
            ) -> FloatTensor<Self> {
                <Self as Kernels>::embed(table, ids, count)
            }
        }
    };
}

#[cfg(feature = "flex")]
plain_backend!(burn::backend::Flex);
#[cfg(feature = "cuda")]
plain_backend!(burn::backend::Cuda);
#[cfg(feature = "cuda")]
impl Kernels for burn::backend::Cuda {}
#[cfg(feature = "ndarray")]
plain_backend!(burn::backend::NdArray);
#[cfg(feature = "ndarray")]
impl Kernels for burn::backend::NdArray {}

/// A primitive as a tensor.
fn wrap<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A tensor as a primitive.
fn unwrap<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// [`Kernels::unfold`] of tensors.
pub fn unfold<B: TrainBackend>(x: Tensor<B, 4>, window: Window) -> Tensor<B, 4> {
    wrap::<B, 4>(B::unfold_op(unwrap(x), window))
}

/// [`Kernels::depthwise`] of tensors.
pub fn depthwise<B: TrainBackend>(x: Tensor<B, 4>, weight: Tensor<B, 2>) -> Tensor<B, 4> {
    wrap::<B, 4>(B::depthwise_op(unwrap(x), unwrap(weight)))
}

/// [`Kernels::finish`] of tensors.
pub fn finish<B: TrainBackend>(
    sums: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    columns: Columns,
) -> Tensor<B, 2> {
    wrap::<B, 2>(B::finish_op(unwrap(sums), unwrap(bias), columns))
}

/// [`Kernels::gate`] of tensors.
pub fn gate<B: TrainBackend>(x: Tensor<B, 2>, finish: Finish) -> Tensor<B, 2> {
    wrap::<B, 2>(B::gate_op(unwrap(x), finish))
}

/// [`Kernels::recur`] of tensors.
pub fn recur<B: TrainBackend>(
    update: Tensor<B, 2>,
    candidate: Tensor<B, 2>,
    steps: usize,
) -> Tensor<B, 2> {
    wrap::<B, 2>(B::recur_op(unwrap(update), unwrap(candidate), steps))
}

/// [`Kernels::embed`] of tensors.
pub fn embed<B: TrainBackend>(
    table: Tensor<B, 2>,
    ids: Tensor<B, 1, Int>,
    count: usize,
) -> Tensor<B, 2> {
    wrap::<B, 2>(B::embed_op(unwrap(table), ids.into_primitive(), count))
}

/// [`Kernels::adamw`] of tensors.
pub fn adamw<B: Kernels>(
    state: Adam<Tensor<B, 1>>,
    grad: Tensor<B, 1>,
    decays: Tensor<B, 1>,
    step: &AdamStep,
) -> Adam<Tensor<B, 1>> {
    let state = Adam {
        weights: unwrap(state.weights),
        mean: unwrap(state.mean),
        square: unwrap(state.square),
        ema: unwrap(state.ema),
    };
    let state = B::adamw(state, unwrap(grad), unwrap(decays), step);
    Adam {
        weights: wrap::<B, 1>(state.weights),
        mean: wrap::<B, 1>(state.mean),
        square: wrap::<B, 1>(state.square),
        ema: wrap::<B, 1>(state.ema),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
