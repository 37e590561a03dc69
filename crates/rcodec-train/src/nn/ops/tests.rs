use super::*;
use crate::random::{Purpose, Random};
use burn::backend::{Autodiff, Flex};
use burn::tensor::TensorData;
use burn::tensor::ops::FloatTensorOps;

type Primitive = FloatTensor<Flex>;

fn random(dims: &[usize], position: u64) -> Primitive {
    let mut random = Random::at(5, Purpose::Checks, position);
    let len = dims.iter().product();
    let values: Vec<f32> = (0..len).map(|_| random.normal()).collect();
    burn::backend::flex::FlexTensor::from_data(TensorData::new(values, dims.to_vec()))
}

fn assert_close(a: Primitive, b: Primitive) {
    let (a, b) = (a.into_data(), b.into_data());
    assert_eq!(a.shape, b.shape);
    let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{a} {b}");
    }
}

const COLUMNS: [Columns; 2] = [
    Columns {
        values: Finish {
            lo: 0.0,
            hi: 1.0,
            unit: None,
        },
        gates: None,
    },
    Columns {
        values: Finish {
            lo: -1.0,
            hi: 1.5,
            unit: Some(16.0),
        },
        gates: Some(Finish {
            lo: 0.0,
            hi: 2.0,
            unit: Some(4.0),
        }),
    },
];

#[test]
fn loops_agree_with_burns_own_operations() {
    for window in [(3, 1), (3, 2), (1, 1), (1, 2)].map(|(kernel, stride)| Window { kernel, stride })
    {
        for dims in [[2, 4, 6, 3], [1, 1, 5, 2], [1, 3, 2, 1]] {
            let x = random(&dims, 1);
            let windows = Flex::unfold(x.clone(), window);
            assert_close(windows.clone(), generic::unfold::<Flex>(x, window));
            let back = Flex::fold(windows.clone(), window, dims);
            assert_close(back, generic::fold::<Flex>(windows, window, dims));
        }
    }
    let (x, weight, grad) = (
        random(&[2, 3, 5, 4], 2),
        random(&[9, 4], 3),
        random(&[2, 3, 5, 4], 4),
    );
    let expected = generic::depthwise::<Flex>(x.clone(), weight.clone());
    assert_close(Flex::depthwise(x.clone(), weight.clone()), expected);
    let (by_x, by_weight) = Flex::depthwise_backward(x.clone(), weight.clone(), grad.clone());
    let (expected_x, expected_weight) = generic::depthwise_backward::<Flex>(x, weight, grad);
    assert_close(by_x, expected_x);
    assert_close(by_weight, expected_weight);

    let (sums, bias, grad) = (random(&[5, 6], 5), random(&[6], 6), random(&[5, 6], 7));
    for columns in COLUMNS {
        let output = Flex::finish(sums.clone(), bias.clone(), columns);
        let expected = generic::finish::<Flex>(sums.clone(), bias.clone(), columns);
        assert_close(output.clone(), expected);
        let (a, b) = Flex::finish_backward(output.clone(), grad.clone(), columns);
        let (c, d) = generic::finish_backward::<Flex>(output, grad.clone(), columns);
        assert_close(a, c);
        assert_close(b, d);
    }
    let values = COLUMNS[1].values;
    let expected = generic::gate::<Flex>(sums.clone(), values);
    assert_close(Flex::gate(sums.clone(), values), expected);
    let grad = random(&[5, 3], 8);
    let expected = generic::gate_backward::<Flex>(sums.clone(), grad.clone());
    assert_close(Flex::gate_backward(sums, grad), expected);
}

type Train = Autodiff<Flex>;

/// Compares the gradient of `Σ f(x)²` with its slope in a random direction.
fn check_gradient(dims: [usize; 2], f: impl Fn(Tensor<Train, 2>) -> Tensor<Train, 2>) {
    let leaf = |shift: f32| {
        let x = wrap::<Flex, 2>(random(&dims, 9)) + wrap::<Flex, 2>(random(&dims, 10)) * shift;
        Tensor::<Train, 2>::from_inner(x).require_grad()
    };
    let loss = |x: Tensor<Train, 2>| f(x).powi_scalar(2).sum();
    let x = leaf(0.0);
    let gradient = x.grad(&loss(x.clone()).backward()).unwrap();
    let along = (gradient * wrap::<Flex, 2>(random(&dims, 10))).sum();
    let along: f32 = along.into_scalar();
    let value = |shift: f32| loss(leaf(shift)).into_scalar();
    let slope = (value(1e-3) - value(-1e-3)) / 2e-3;
    assert!(
        (slope - along).abs() < 2e-2 * (1.0 + along.abs()),
        "{slope} {along}"
    );
}

#[test]
fn gradients_are_slopes() {
    let spread = |primitive| Tensor::<Train, 2>::from_inner(wrap::<Flex, 2>(primitive));
    // No rounding: its slope is zero almost everywhere, its gradient is not.
    let columns = |gates| Columns {
        values: COLUMNS[0].values,
        gates,
    };
    let exact = Finish {
        lo: -9.0,
        hi: 9.0,
        unit: None,
    };
    check_gradient([6, 4], |x| {
        let bias: Tensor<Train, 1> = x.clone().slice([0..1, 0..4]).reshape([4]);
        finish(x, bias, columns(Some(exact)))
    });
    check_gradient([6, 4], |x| gate(x, exact));
    check_gradient([12, 4], |x| {
        let image = x.reshape([2, 2, 3, 4]);
        let windows = unfold(
            image,
            Window {
                kernel: 3,
                stride: 2,
            },
        );
        windows.reshape([2 * 2, 9 * 4])
    });
    check_gradient([12, 4], |x| {
        let image: Tensor<Train, 4> = x.clone().reshape([2, 2, 3, 4]);
        let weight = x.slice([0..9, 0..4]) + spread(random(&[9, 4], 11));
        depthwise(image, weight).reshape([12, 4])
    });
}

#[test]
fn both_optimisers_are_adamw() {
    let step = AdamStep {
        grad_scale: 0.5,
        beta1: 0.9,
        beta2: 0.99,
        rate: 0.1,
        square_scale: 2.0,
        weight_decay: 0.2,
        ema_decay: 0.7,
    };
    let state = || Adam {
        weights: random(&[50], 1),
        mean: random(&[50], 2),
        square: Flex::float_abs(random(&[50], 3)),
        ema: random(&[50], 4),
    };
    let (grad, decays) = (random(&[50], 5), random(&[50], 6));
    let a = Flex::adamw(state(), grad.clone(), decays.clone(), &step);
    let b = generic::adamw::<Flex>(state(), grad, decays, &step);
    assert_close(a.weights, b.weights);
    assert_close(a.mean, b.mean);
    assert_close(a.square, b.square);
    assert_close(a.ema, b.ema);
}

fn numbers(values: &[i32]) -> burn::backend::flex::FlexTensor {
    burn::backend::flex::FlexTensor::from_data(TensorData::from(values))
}

#[test]
fn sequences_by_loops_and_by_scans_agree() {
    for (steps, streams) in [(1, 2), (2, 1), (5, 3), (16, 2)] {
        let dims = [steps * streams, 4];
        let z = Flex::float_abs(random(&dims, 1));
        let (g, grad) = (random(&dims, 2), random(&dims, 3));
        let h = Flex::recur(z.clone(), g.clone(), steps);
        assert_close(
            h.clone(),
            sequence::recur::<Flex>(z.clone(), g.clone(), steps),
        );
        let (a, b) = Flex::recur_backward((z.clone(), g.clone()), h.clone(), grad.clone(), steps);
        let (c, d) = sequence::recur_backward::<Flex>((z, g), h, grad, steps);
        assert_close(a, c);
        assert_close(b, d);
    }
    let ids = || numbers(&[0, 2, 4, 1, 2, 2]);
    let (table, grad) = (random(&[5, 3], 4), random(&[2, 3], 5));
    assert_close(
        Flex::embed(table.clone(), ids(), 3),
        sequence::embed::<Flex>(table, ids(), 3),
    );
    assert_close(
        Flex::embed_backward([5, 3], ids(), 3, grad.clone()),
        sequence::embed_backward::<Flex>([5, 3], ids(), 3, grad),
    );
}

#[test]
fn gradients_of_sequences_are_slopes() {
    check_gradient([12, 4], |x| {
        let update = burn::tensor::activation::sigmoid(x.clone());
        recur(update, x, 6)
    });
    check_gradient([5, 3], |x| {
        let ids = Tensor::<Train, 1, Int>::from_data([0, 2, 4, 1, 2, 2], &Default::default());
        embed(x, ids, 2)
    });
}
