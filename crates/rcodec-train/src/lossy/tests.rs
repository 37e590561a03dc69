use super::*;
use crate::nn::Scales;
use crate::random::{Purpose, Random};
use crate::recipe::tests::tiny_network;
use burn::backend::Flex;

#[test]
fn every_latent_is_decoded_once() {
    let masks = step_masks(4, 6, 8);
    for i in 0..4 * 6 * 8 {
        assert_eq!(masks.iter().map(|mask| mask[i]).sum::<f32>(), 1.0);
    }
    for mask in masks {
        assert_eq!(mask.iter().sum::<f32>(), (4 * 6 * 8 / 4) as f32);
    }
}

fn picture(images: usize, side: usize) -> Tensor<Flex, 4> {
    let mut random = Random::at(1, Purpose::Checks, 0);
    let (a, b) = (random.uniform(), random.uniform());
    let values: Vec<f32> = (0..images * side * side * 3)
        .map(|i| {
            let (colour, x, y) = (i % 3, i / 3 % side, i / 3 / side % side);
            let wave = (x as f32 * 0.1 * a).sin() + (y as f32 * 0.2 * b).cos();
            if colour == 0 { wave } else { 0.2 * wave }
        })
        .collect();
    Tensor::from_data(
        TensorData::new(values, [images, side, side, 3]),
        &Default::default(),
    )
}

/// Codes two pictures at two qualities with untrained weights.
fn code(quantized: bool) -> (Vec<f32>, Vec<f32>) {
    let graphs = LossyGraphs::new(&tiny_network());
    let values = graphs.layout.initial(1);
    let on = (&Default::default(), DType::F32);
    let scales = Scales::<Flex>::new(
        &graphs.all(),
        &graphs.layout,
        &graphs.config,
        &values,
        1.0,
        on,
    )
    .unwrap();
    let flat = Tensor::<Flex, 1>::from_data(TensorData::from(&values[..]), on.0);
    let weights = graphs
        .layout
        .params
        .iter()
        .map(|spec| flat.clone().slice([spec.range()]))
        .collect();
    let network = Network::new(&graphs.layout, weights, quantized.then_some(&scales));
    let qualities = Qualities::new(&[8, 56], &graphs.config, on);
    let masks = Masks::new(&graphs, [2, 64, 64], on);
    let outcome = forward(
        &graphs,
        &network,
        &qualities,
        &masks,
        picture(2, 64),
        (&Rounding::Hard, false),
    );
    let bits = (outcome.bits_y + outcome.bits_z)
        .into_data()
        .to_vec()
        .unwrap();
    (bits, outcome.mse.into_data().to_vec().unwrap())
}

#[test]
fn an_untrained_model_is_a_block_transform() {
    let (bits, mse) = code(false);
    let bpp: Vec<f32> = bits.iter().map(|bits| bits / 4096.0).collect();
    // Higher quality costs more and is better; all of it in a sane range.
    assert!(bpp[0] < bpp[1] && mse[0] > mse[1], "{bpp:?} {mse:?}");
    assert!(bpp[1] < 1.0, "{bpp:?}");
    assert!(mse[1] < 100.0, "{mse:?}");
    let (quantized_bits, quantized_mse) = code(true);
    for i in 0..2 {
        let change = (quantized_bits[i] / bits[i] - 1.0).abs();
        assert!(change < 0.05, "{bits:?} {quantized_bits:?}");
        let change = (quantized_mse[i] / mse[i] - 1.0).abs();
        assert!(change < 0.05, "{mse:?} {quantized_mse:?}");
    }
}
