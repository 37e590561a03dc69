//! The kernels from burn's own operations, for any backend. They are also
//! what the faster ones are tested against.

use super::{ADAM_EPSILON, Adam, AdamStep, Columns, Finish, Window, unwrap, wrap};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Int, Tensor, TensorData};

/// For each output and tap, the input position.
fn taps<B: Backend>(window: Window, len: usize, device: &B::Device) -> Tensor<B, 1, Int> {
    let taps: Vec<i32> = (0..window.outputs(len))
        .flat_map(|at| (0..window.kernel).map(move |tap| window.input(at, tap, len) as i32))
        .collect();
    let count = taps.len();
    Tensor::from_data(TensorData::new(taps, [count]), device)
}

pub(super) fn unfold<B: Backend>(x: FloatTensor<B>, window: Window) -> FloatTensor<B> {
    let x = wrap::<B, 4>(x);
    let [n, h, w, c] = x.dims();
    let device = x.device();
    let k = window.kernel;
    let x = x.select(1, taps::<B>(window, h, &device));
    let x = x.select(2, taps::<B>(window, w, &device));
    let (rows, columns) = (window.outputs(h), window.outputs(w));
    let x: Tensor<B, 6> = x.reshape([n, rows, k, columns, k, c]);
    let x = x.permute([0, 1, 3, 2, 4, 5]);
    unwrap(x.reshape([n, rows, columns, k * k * c]))
}

pub(super) fn fold<B: Backend>(
    grad: FloatTensor<B>,
    window: Window,
    [n, h, w, c]: [usize; 4],
) -> FloatTensor<B> {
    let grad = wrap::<B, 4>(grad);
    let device = grad.device();
    let k = window.kernel;
    let (rows, columns) = (window.outputs(h), window.outputs(w));
    let grad: Tensor<B, 6> = grad.reshape([n, rows, columns, k, k, c]);
    let grad = grad.permute([0, 1, 3, 2, 4, 5]);
    let grad: Tensor<B, 4> = grad.reshape([n, rows * k, columns * k, c]);
    let sum = burn::tensor::IndexingUpdateOp::Add;
    let zeros = Tensor::zeros([n, rows * k, w, c], (&device, grad.dtype()));
    let grad = zeros.select_assign(2, taps::<B>(window, w, &device), grad, sum);
    let zeros = Tensor::zeros([n, h, w, c], (&device, grad.dtype()));
    unwrap(zeros.select_assign(1, taps::<B>(window, h, &device), grad, sum))
}

/// The window of depthwise convolutions.
const DEPTHWISE: Window = Window {
    kernel: 3,
    stride: 1,
};

pub(super) fn depthwise<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let [n, h, w, c] = wrap::<B, 4>(x.clone()).dims();
    let windows = wrap::<B, 4>(unfold::<B>(x, DEPTHWISE));
    let windows: Tensor<B, 3> = windows.reshape([n * h * w, 9, c]);
    let products = windows * wrap::<B, 2>(weight).unsqueeze();
    let sums: Tensor<B, 4> = products.sum_dim(1).reshape([n, h, w, c]);
    unwrap(sums)
}

pub(super) fn depthwise_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let grad: Tensor<B, 4> = wrap(grad);
    let dims @ [n, h, w, c] = grad.dims();
    let grad: Tensor<B, 3> = grad.reshape([n * h * w, 1, c]);
    let spread: Tensor<B, 3> = grad.clone() * wrap::<B, 2>(weight).unsqueeze();
    let by_x = fold::<B>(unwrap(spread.reshape([n, h, w, 9 * c])), DEPTHWISE, dims);
    let windows = wrap::<B, 4>(unfold::<B>(x, DEPTHWISE));
    let windows: Tensor<B, 3> = windows.reshape([n * h * w, 9, c]);
    let by_weight: Tensor<B, 2> = (windows * grad).sum_dim(0).reshape([9, c]);
    (by_x, unwrap(by_weight))
}

/// [`Finish::apply`] of a whole tensor.
fn apply<B: Backend>(x: Tensor<B, 2>, finish: Finish) -> Tensor<B, 2> {
    let x = match finish.unit {
        Some(unit) => (x * unit).add_scalar(0.5).floor() / unit,
        None => x,
    };
    x.clamp(finish.lo, finish.hi)
}

/// The halves of the columns.
fn halves<B: Backend>(x: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let [rows, columns] = x.dims();
    let half = columns / 2;
    let first = x.clone().slice([0..rows, 0..half]);
    (first, x.slice([0..rows, half..columns]))
}

pub(super) fn finish<B: Backend>(
    sums: FloatTensor<B>,
    bias: FloatTensor<B>,
    columns: Columns,
) -> FloatTensor<B> {
    let sums = wrap::<B, 2>(sums) + wrap::<B, 1>(bias).unsqueeze();
    unwrap(match columns.gates {
        None => apply(sums, columns.values),
        Some(gates) => {
            let (a, b) = halves(sums);
            Tensor::cat(vec![apply(a, columns.values), apply(b, gates)], 1)
        }
    })
}

pub(super) fn finish_backward<B: Backend>(
    output: FloatTensor<B>,
    grad: FloatTensor<B>,
    columns: Columns,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let pass = |output: Tensor<B, 2>, grad: Tensor<B, 2>, finish: Finish| {
        let clipped = output
            .clone()
            .lower_equal_elem(finish.lo)
            .bool_or(output.greater_equal_elem(finish.hi));
        grad.mask_fill(clipped, 0.0)
    };
    let (output, grad) = (wrap::<B, 2>(output), wrap::<B, 2>(grad));
    let grad = match columns.gates {
        None => pass(output, grad, columns.values),
        Some(gates) => {
            let ((a, b), (ga, gb)) = (halves(output), halves(grad));
            Tensor::cat(vec![pass(a, ga, columns.values), pass(b, gb, gates)], 1)
        }
    };
    let [_, width] = grad.dims();
    let bias: Tensor<B, 1> = grad.clone().sum_dim(0).reshape([width]);
    (unwrap(grad), unwrap(bias))
}

pub(super) fn gate<B: Backend>(x: FloatTensor<B>, finish: Finish) -> FloatTensor<B> {
    let (a, b) = halves(wrap::<B, 2>(x));
    unwrap(apply(a * b, finish))
}

pub(super) fn gate_backward<B: Backend>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let (a, b) = halves(wrap::<B, 2>(x));
    let grad = wrap::<B, 2>(grad);
    unwrap(Tensor::cat(vec![grad.clone() * b, grad * a], 1))
}

pub(super) fn adamw<B: Backend>(
    state: Adam<FloatTensor<B>>,
    grad: FloatTensor<B>,
    decays: FloatTensor<B>,
    step: &AdamStep,
) -> Adam<FloatTensor<B>> {
    let grad = wrap::<B, 1>(grad) * step.grad_scale;
    let (weights, mean) = (wrap::<B, 1>(state.weights), wrap::<B, 1>(state.mean));
    let (square, ema) = (wrap::<B, 1>(state.square), wrap::<B, 1>(state.ema));
    let mean = mean * step.beta1 + grad.clone() * (1.0 - step.beta1);
    let square = square * step.beta2 + grad.powi_scalar(2) * (1.0 - step.beta2);
    let length = square.clone().sqrt() * step.square_scale + ADAM_EPSILON;
    let kept = (wrap::<B, 1>(decays) * -step.weight_decay).add_scalar(1.0);
    let weights = weights * kept - mean.clone() / length * step.rate;
    let ema = ema * step.ema_decay + weights.clone() * (1.0 - step.ema_decay);
    Adam {
        weights: unwrap(weights),
        mean: unwrap(mean),
        square: unwrap(square),
        ema: unwrap(ema),
    }
}
