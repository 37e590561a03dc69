//! The kernels as direct loops over a CPU's memory.

use super::{ADAM_EPSILON, Adam, AdamStep, Columns, Finish, Kernels, Window, flex_sequence};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Element, Shape, TensorData};

/// `f32` in training, `f64` where every integer must be exact.
pub(super) trait Real:
    Element
    + bytemuck::Pod
    + std::ops::Add<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::AddAssign
    + PartialOrd
{
    const ZERO: Self;
    fn of(value: f64) -> Self;
    fn floor(self) -> Self;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            fn of(value: f64) -> Self {
                value as $t
            }
            fn floor(self) -> Self {
                // Without SSE 4.1 the library's floor is a call; the integers
                // here are far below 2^31.
                let truncated = self as i32 as $t;
                truncated - <$t>::from(u8::from(truncated > self))
            }
        }
    };
}
real!(f32);
real!(f64);

/// Calls a generic function for the tensor's type.
macro_rules! dispatch {
    ($x:expr, $function:ident ( $($argument:expr),* )) => {
        match $x.dtype() {
            DType::F64 => $function::<f64>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}

/// A tensor's values one after the other, and its extents.
pub(super) struct View {
    tensor: FlexTensor,
    pub(super) dims: Vec<usize>,
}

impl View {
    pub(super) fn new(tensor: FlexTensor) -> View {
        let tensor = if tensor.layout().contiguous_offsets().is_some() {
            tensor
        } else {
            tensor.to_contiguous()
        };
        let dims = tensor.layout().shape().to_vec();
        View { tensor, dims }
    }

    pub(super) fn values<T: Real>(&self) -> &[T] {
        let (start, end) = self.tensor.layout().contiguous_offsets().unwrap_or((0, 0));
        &self.tensor.storage::<T>()[start..end]
    }
}

/// A tensor's values, to be changed: its own memory if nobody else holds it.
fn into_values<T: Real>(tensor: FlexTensor) -> Vec<T> {
    match tensor.into_data().into_vec() {
        Ok(values) => values,
        Err(error) => panic!("a tensor of another type: {error:?}"),
    }
}

/// A tensor of these values.
pub(super) fn tensor<T: Real>(values: Vec<T>, dims: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::from(dims.to_vec())))
}

fn unfold<T: Real>(x: FlexTensor, window: Window) -> FlexTensor {
    let x = View::new(x);
    let &[n, h, w, c] = &x.dims[..] else {
        unreachable!("unfold of a tensor that is not 4-D")
    };
    let (k, values) = (window.kernel, x.values::<T>());
    let (rows, columns) = (window.outputs(h), window.outputs(w));
    let mut out = Vec::with_capacity(n * rows * columns * k * k * c);
    for image in values.chunks_exact(h * w * c).take(n) {
        for row in 0..rows {
            for column in 0..columns {
                for dy in 0..k {
                    let line = window.input(row, dy, h) * w;
                    for dx in 0..k {
                        let at = (line + window.input(column, dx, w)) * c;
                        out.extend_from_slice(&image[at..at + c]);
                    }
                }
            }
        }
    }
    tensor(out, &[n, rows, columns, k * k * c])
}

fn fold<T: Real>(grad: FlexTensor, window: Window, [n, h, w, c]: [usize; 4]) -> FlexTensor {
    let grad = View::new(grad);
    let k = window.kernel;
    let (rows, columns) = (window.outputs(h), window.outputs(w));
    let mut out = vec![T::ZERO; n * h * w * c];
    let mut windows = grad.values::<T>().chunks_exact(c);
    for image in out.chunks_exact_mut(h * w * c) {
        for row in 0..rows {
            for column in 0..columns {
                for dy in 0..k {
                    let line = window.input(row, dy, h) * w;
                    for (dx, source) in (0..k).zip(&mut windows) {
                        let at = (line + window.input(column, dx, w)) * c;
                        for (sum, value) in image[at..at + c].iter_mut().zip(source) {
                            *sum += *value;
                        }
                    }
                }
            }
        }
    }
    tensor(out, &[n, h, w, c])
}

/// The window of depthwise convolutions.
const DEPTHWISE: Window = Window {
    kernel: 3,
    stride: 1,
};

/// Calls `visit(output, tap, input)` for each position and tap: offsets of
/// runs of `c` values.
fn each_tap([n, h, w, c]: [usize; 4], mut visit: impl FnMut(usize, usize, usize)) {
    for image in 0..n {
        for row in 0..h {
            for dy in 0..3 {
                let line = (image * h + DEPTHWISE.input(row, dy, h)) * w;
                for column in 0..w {
                    let output = ((image * h + row) * w + column) * c;
                    for dx in 0..3 {
                        let input = (line + DEPTHWISE.input(column, dx, w)) * c;
                        visit(output, dy * 3 + dx, input);
                    }
                }
            }
        }
    }
}

/// `sum += a · b`, value by value.
fn multiply_add<T: Real>(sum: &mut [T], a: &[T], b: &[T]) {
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        *sum += *a * *b;
    }
}

fn dims_of(dims: &[usize]) -> [usize; 4] {
    match dims {
        &[n, h, w, c] => [n, h, w, c],
        _ => unreachable!("a depthwise convolution of a tensor that is not 4-D"),
    }
}

fn depthwise<T: Real>(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
    let (x, weight) = (View::new(x), View::new(weight));
    let dims = dims_of(&x.dims);
    let (c, values, weights) = (dims[3], x.values::<T>(), weight.values::<T>());
    let mut out = vec![T::ZERO; values.len()];
    each_tap(dims, |output, tap, input| {
        multiply_add(
            &mut out[output..output + c],
            &values[input..input + c],
            &weights[tap * c..(tap + 1) * c],
        );
    });
    tensor(out, &x.dims)
}

fn depthwise_backward<T: Real>(
    x: FlexTensor,
    weight: FlexTensor,
    grad: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let (x, weight, grad) = (View::new(x), View::new(weight), View::new(grad));
    let dims = dims_of(&x.dims);
    let (c, values, weights) = (dims[3], x.values::<T>(), weight.values::<T>());
    let grads = grad.values::<T>();
    let mut by_x = vec![T::ZERO; values.len()];
    let mut by_weight = vec![T::ZERO; 9 * c];
    each_tap(dims, |output, tap, input| {
        let (taps, grads) = (tap * c..(tap + 1) * c, &grads[output..output + c]);
        multiply_add(&mut by_x[input..input + c], grads, &weights[taps.clone()]);
        multiply_add(&mut by_weight[taps], grads, &values[input..input + c]);
    });
    (tensor(by_x, &x.dims), tensor(by_weight, &weight.dims))
}

/// [`Finish::apply`] in the tensor's type; `unit` is a power of two, so that
/// dividing by it is exact.
fn finish_run<T: Real>(run: &mut [T], bias: &[T], finish: Finish) {
    let (lo, hi) = (T::of(finish.lo), T::of(finish.hi));
    let clamp = |v: T| {
        if v < lo {
            lo
        } else if v > hi {
            hi
        } else {
            v
        }
    };
    match finish.unit {
        None => {
            for (value, bias) in run.iter_mut().zip(bias) {
                *value = clamp(*value + *bias);
            }
        }
        Some(unit) => {
            let (unit, inverse, half) = (T::of(unit), T::of(1.0 / unit), T::of(0.5));
            for (value, bias) in run.iter_mut().zip(bias) {
                // Clamped first: conversion to integers needs it.
                let v = clamp(*value + *bias);
                *value = clamp((v * unit + half).floor() * inverse);
            }
        }
    }
}

fn finish<T: Real>(sums: FlexTensor, bias: FlexTensor, columns: Columns) -> FlexTensor {
    let bias = View::new(bias);
    let bias = bias.values::<T>();
    let dims = sums.layout().shape().to_vec();
    let mut out = into_values::<T>(sums);
    let half = bias.len() / 2;
    for row in out.chunks_exact_mut(bias.len()) {
        match columns.gates {
            None => finish_run(row, bias, columns.values),
            Some(gates) => {
                finish_run(&mut row[..half], &bias[..half], columns.values);
                finish_run(&mut row[half..], &bias[half..], gates);
            }
        }
    }
    tensor(out, &dims)
}

/// Sets gradients of clipped outputs to zero and adds the others to `sums`.
fn pass_run<T: Real>(output: &[T], grad: &mut [T], sums: &mut [T], finish: Finish) {
    let (lo, hi) = (T::of(finish.lo), T::of(finish.hi));
    for ((output, grad), sum) in output.iter().zip(grad).zip(sums) {
        let passes = *output > lo && *output < hi;
        *grad = if passes { *grad } else { T::ZERO };
        *sum += *grad;
    }
}

fn finish_backward<T: Real>(
    output: FlexTensor,
    grad: FlexTensor,
    columns: Columns,
) -> (FlexTensor, FlexTensor) {
    let output = View::new(output);
    let width = output.dims[1];
    let half = width / 2;
    let mut out = into_values::<T>(grad);
    let mut sums = vec![T::ZERO; width];
    let rows = output.values::<T>().chunks_exact(width);
    for (output, grad) in rows.zip(out.chunks_exact_mut(width)) {
        match columns.gates {
            None => pass_run(output, grad, &mut sums, columns.values),
            Some(gates) => {
                let (a, b) = grad.split_at_mut(half);
                pass_run(&output[..half], a, &mut sums[..half], columns.values);
                pass_run(&output[half..], b, &mut sums[half..], gates);
            }
        }
    }
    (tensor(out, &output.dims), tensor(sums, &[width]))
}

fn gate<T: Real>(x: FlexTensor, finish: Finish) -> FlexTensor {
    let x = View::new(x);
    let (rows, width) = (x.dims[0], x.dims[1]);
    let half = width / 2;
    let zeros = vec![T::ZERO; half];
    let mut out = Vec::with_capacity(rows * half);
    for row in x.values::<T>().chunks_exact(width) {
        let (a, b) = row.split_at(half);
        let start = out.len();
        out.extend(a.iter().zip(b).map(|(a, b)| *a * *b));
        finish_run(&mut out[start..], &zeros, finish);
    }
    tensor(out, &[rows, half])
}

fn gate_backward<T: Real>(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
    let (x, grad) = (View::new(x), View::new(grad));
    let width = x.dims[1];
    let half = width / 2;
    let mut out = Vec::with_capacity(x.dims[0] * width);
    let rows = x.values::<T>().chunks_exact(width);
    for (row, grad) in rows.zip(grad.values::<T>().chunks_exact(half)) {
        let (a, b) = row.split_at(half);
        out.extend(grad.iter().zip(b).map(|(g, b)| *g * *b));
        out.extend(grad.iter().zip(a).map(|(g, a)| *g * *a));
    }
    tensor(out, &x.dims)
}

fn adamw(
    state: Adam<FlexTensor>,
    grad: FlexTensor,
    decays: FlexTensor,
    step: &AdamStep,
) -> Adam<FlexTensor> {
    let (grad, decays) = (View::new(grad), View::new(decays));
    let mut weights = into_values::<f32>(state.weights);
    let mut means = into_values::<f32>(state.mean);
    let mut squares = into_values::<f32>(state.square);
    let mut emas = into_values::<f32>(state.ema);
    let given = grad.values::<f32>().iter().zip(decays.values::<f32>());
    let moments = means.iter_mut().zip(&mut squares);
    let averaged = weights.iter_mut().zip(&mut emas);
    for (((grad, decay), (mean, square)), (weight, ema)) in given.zip(moments).zip(averaged) {
        let grad = grad * step.grad_scale;
        *mean = *mean * step.beta1 + grad * (1.0 - step.beta1);
        *square = *square * step.beta2 + grad * grad * (1.0 - step.beta2);
        let length = square.sqrt() * step.square_scale + ADAM_EPSILON;
        let kept = *weight * (1.0 - decay * step.weight_decay);
        *weight = kept - *mean / length * step.rate;
        *ema = *ema * step.ema_decay + *weight * (1.0 - step.ema_decay);
    }
    let dims = grad.dims;
    Adam {
        weights: tensor(weights, &dims),
        mean: tensor(means, &dims),
        square: tensor(squares, &dims),
        ema: tensor(emas, &dims),
    }
}

impl Kernels for Flex {
    fn adamw(
        state: Adam<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        decays: FloatTensor<Self>,
        step: &AdamStep,
    ) -> Adam<FloatTensor<Self>> {
        adamw(state, grad, decays, step)
    }

    fn unfold(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        dispatch!(x, unfold(x, window))
    }

    fn fold(grad: FloatTensor<Self>, window: Window, dims: [usize; 4]) -> FloatTensor<Self> {
        dispatch!(grad, fold(grad, window, dims))
    }

    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        dispatch!(x, depthwise(x, weight))
    }

    fn depthwise_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        dispatch!(x, depthwise_backward(x, weight, grad))
    }

    fn finish(
        sums: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        columns: Columns,
    ) -> FloatTensor<Self> {
        dispatch!(sums, finish(sums, bias, columns))
    }

    fn finish_backward(
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        columns: Columns,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        dispatch!(output, finish_backward(output, grad, columns))
    }

    fn gate(x: FloatTensor<Self>, finish: Finish) -> FloatTensor<Self> {
        dispatch!(x, gate(x, finish))
    }

    fn gate_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        dispatch!(x, gate_backward(x, grad))
    }

    fn recur(
        update: FloatTensor<Self>,
        candidate: FloatTensor<Self>,
        steps: usize,
    ) -> FloatTensor<Self> {
        flex_sequence::recur(update, candidate, steps)
    }

    fn recur_backward(
        inputs: (FloatTensor<Self>, FloatTensor<Self>),
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        steps: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        flex_sequence::recur_backward(inputs, output, grad, steps)
    }

    fn embed(table: FloatTensor<Self>, ids: IntTensor<Self>, count: usize) -> FloatTensor<Self> {
        flex_sequence::embed(table, ids, count)
    }

    fn embed_backward(
        dims: [usize; 2],
        ids: IntTensor<Self>,
        count: usize,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        flex_sequence::embed_backward(dims, ids, count, grad)
    }
}
