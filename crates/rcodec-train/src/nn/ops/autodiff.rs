//! The operations with history: how gradients flow through them.

use super::{Columns, Finish, Kernels, TrainBackend, Window, wrap};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::tensor::ops::{FloatTensor, IntTensor};

/// Adds gradients to the parents that want them.
macro_rules! register {
    ($backend:ty, $parents:expr, $grads:expr, $by:expr) => {
        let ([first, second], by) = ($parents, $by);
        if let Some(parent) = first {
            $grads.register::<$backend>(parent.id, by.0);
        }
        if let Some(parent) = second {
            $grads.register::<$backend>(parent.id, by.1);
        }
    };
}

#[derive(Debug)]
struct Unfold;

impl<B: Kernels> Backward<B, 1> for Unfold {
    type State = (Window, [usize; 4]);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (window, dims) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::fold(grad, window, dims)
        });
    }
}

#[derive(Debug)]
struct Depthwise;

impl<B: Kernels> Backward<B, 2> for Depthwise {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (x, weight) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let by = B::depthwise_backward(x, weight, grad);
        register!(B, ops.parents, grads, by);
    }
}

#[derive(Debug)]
struct FinishSums;

impl<B: Kernels> Backward<B, 2> for FinishSums {
    type State = (FloatTensor<B>, Columns);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (output, columns) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let by = B::finish_backward(output, grad, columns);
        register!(B, ops.parents, grads, by);
    }
}

#[derive(Debug)]
struct GateProduct;

impl<B: Kernels> Backward<B, 1> for GateProduct {
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let x = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::gate_backward(x, grad)
        });
    }
}

#[derive(Debug)]
struct Recur;

impl<B: Kernels> Backward<B, 2> for Recur {
    type State = ((FloatTensor<B>, FloatTensor<B>), FloatTensor<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (inputs, output, steps) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let by = B::recur_backward(inputs, output, grad, steps);
        register!(B, ops.parents, grads, by);
    }
}

#[derive(Debug)]
struct Embed;

impl<B: Kernels> Backward<B, 1> for Embed {
    type State = ([usize; 2], IntTensor<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (dims, ids, count) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::embed_backward(dims, ids, count, grad)
        });
    }
}

impl<B: Kernels, C: CheckpointStrategy> TrainBackend for Autodiff<B, C> {
    fn unfold_op(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        let prep = Unfold.prepare::<C>([x.node.clone()]);
        let dims = wrap::<B, 4>(x.primitive.clone()).dims();
        let output = B::unfold(x.primitive, window);
        match prep.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((window, dims), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn depthwise_op(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let prep = Depthwise.prepare::<C>([x.node.clone(), weight.node.clone()]);
        let output = B::depthwise(x.primitive.clone(), weight.primitive.clone());
        match prep.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, weight.primitive), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn finish_op(
        sums: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        columns: Columns,
    ) -> FloatTensor<Self> {
        let prep = FinishSums.prepare::<C>([sums.node.clone(), bias.node.clone()]);
        let output = B::finish(sums.primitive, bias.primitive, columns);
        match prep.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((output.clone(), columns), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn gate_op(x: FloatTensor<Self>, finish: Finish) -> FloatTensor<Self> {
        let prep = GateProduct.prepare::<C>([x.node.clone()]);
        let output = B::gate(x.primitive.clone(), finish);
        match prep.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.primitive, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn recur_op(
        update: FloatTensor<Self>,
        candidate: FloatTensor<Self>,
        steps: usize,
    ) -> FloatTensor<Self> {
        let prep = Recur.prepare::<C>([update.node.clone(), candidate.node.clone()]);
        let inputs = (update.primitive, candidate.primitive);
        let output = B::recur(inputs.0.clone(), inputs.1.clone(), steps);
        match prep.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, output.clone(), steps), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn embed_op(table: FloatTensor<Self>, ids: IntTensor<Self>, count: usize) -> FloatTensor<Self> {
        let prep = Embed.prepare::<C>([table.node.clone()]);
        let dims = wrap::<B, 2>(table.primitive.clone()).dims();
        let output = B::embed(table.primitive, ids.clone(), count);
        match prep.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((dims, ids, count), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
