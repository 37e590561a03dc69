//! Kernels of sequences from burn's own operations, for any backend: the
//! gated recurrence as a parallel scan, and sums of embeddings.
//!
//! Rows of tensors `[steps · streams][width]` go by steps: all streams of the
//! first step, then all of the second.

use super::{unwrap, wrap};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// The values that stand `by` steps earlier (later, if `later`), zeros beyond
/// the ends.
fn shifted<B: Backend>(x: Tensor<B, 2>, by: usize, later: bool) -> Tensor<B, 2> {
    let [steps, width] = x.dims();
    let zeros = Tensor::zeros([by, width], (&x.device(), x.dtype()));
    match later {
        false => Tensor::cat(vec![zeros, x.slice([0..steps - by, 0..width])], 0),
        true => Tensor::cat(vec![x.slice([by..steps, 0..width]), zeros], 0),
    }
}

/// `y[t] = keep[t] · y[t - 1] + add[t]` by doubling (Hillis and Steele, "Data
/// parallel algorithms", 1986); backwards in time if `later`.
fn scan<B: Backend>(keep: Tensor<B, 2>, add: Tensor<B, 2>, later: bool) -> Tensor<B, 2> {
    let steps = keep.dims()[0];
    let (mut keep, mut sum, mut by) = (keep, add, 1);
    while by < steps {
        sum = sum.clone() + keep.clone() * shifted(sum, by, later);
        keep = keep.clone() * shifted(keep, by, later);
        by *= 2;
    }
    sum
}

/// One row for each step.
fn by_steps<B: Backend>(x: FloatTensor<B>, steps: usize) -> Tensor<B, 2> {
    let x = wrap::<B, 2>(x);
    let [rows, width] = x.dims();
    x.reshape([steps, rows / steps * width])
}

pub(super) fn recur<B: Backend>(
    update: FloatTensor<B>,
    candidate: FloatTensor<B>,
    steps: usize,
) -> FloatTensor<B> {
    let dims = wrap::<B, 2>(update.clone()).dims();
    let (z, g) = (
        by_steps::<B>(update, steps),
        by_steps::<B>(candidate, steps),
    );
    let keep = z.clone().neg().add_scalar(1.0);
    unwrap(scan(keep, z * g, false).reshape(dims))
}

pub(super) fn recur_backward<B: Backend>(
    (update, candidate): (FloatTensor<B>, FloatTensor<B>),
    output: FloatTensor<B>,
    grad: FloatTensor<B>,
    steps: usize,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let dims = wrap::<B, 2>(update.clone()).dims();
    let (z, g) = (
        by_steps::<B>(update, steps),
        by_steps::<B>(candidate, steps),
    );
    let before = shifted(by_steps::<B>(output, steps), 1, false);
    // What the next step keeps; behind the last there is none, whatever it is.
    let keep = shifted(z.clone().neg().add_scalar(1.0), 1, true);
    let state = scan(keep, by_steps::<B>(grad, steps), true);
    let by_update: Tensor<B, 2> = state.clone() * (g - before);
    let by_candidate: Tensor<B, 2> = state * z;
    (
        unwrap(by_update.reshape(dims)),
        unwrap(by_candidate.reshape(dims)),
    )
}

pub(super) fn embed<B: Backend>(
    table: FloatTensor<B>,
    ids: IntTensor<B>,
    count: usize,
) -> FloatTensor<B> {
    let table = wrap::<B, 2>(table);
    let width = table.dims()[1];
    let ids = Tensor::<B, 1, Int>::from_primitive(ids);
    let rows = ids.dims()[0] / count;
    let all: Tensor<B, 3> = table.select(0, ids).reshape([rows, count, width]);
    let sums: Tensor<B, 2> = all.sum_dim(1).reshape([rows, width]);
    unwrap(sums)
}

pub(super) fn embed_backward<B: Backend>(
    [entries, width]: [usize; 2],
    ids: IntTensor<B>,
    count: usize,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let grad = wrap::<B, 2>(grad);
    let rows = grad.dims()[0];
    let spread: Tensor<B, 3> = grad.clone().reshape([rows, 1, width]);
    let spread: Tensor<B, 2> = spread.repeat_dim(1, count).reshape([rows * count, width]);
    let ids = Tensor::<B, 1, Int>::from_primitive(ids);
    let zeros = Tensor::zeros([entries, width], (&grad.device(), grad.dtype()));
    unwrap(zeros.select_assign(0, ids, spread, IndexingUpdateOp::Add))
}
