//! How many bits a weight takes in a model file.
//!
//! `measure model.rcm [raw-output]` takes the tensors of a model;
//! `measure --f32 OUTPUTS WEIGHT_BITS weights.f32 [raw-output]` quantises a
//! matrix of little-endian floats, `[output][input]`, first. The raw elements
//! are written for other compressors to try.

use rcodec_core::{Budget, Error, Limits, Result};
use rcodec_model::quantize::{Scales, quantize_rows};
use rcodec_model::{Model, ModelData, ModelTensor, TensorData, Tensors};
use std::time::Instant;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (tensors, rest) = match args.first().map(String::as_str) {
        Some("--f32") if args.len() >= 4 => (quantized(&args[1], &args[2], &args[3])?, &args[4..]),
        Some(path) => {
            let budget = Budget::new(Limits::default());
            let model = Model::read(&std::fs::read(path)?, &budget)?;
            (model.data().tensors.clone(), &args[1..])
        }
        None => return Err(Error::parameter("which model?")),
    };
    let raw = raw_bytes(&tensors);
    if let Some(path) = rest.first() {
        std::fs::write(path, &raw)?;
    }
    report(tensors, raw.len())
}

/// A model of one matrix.
fn quantized(outputs: &str, weight_bits: &str, path: &str) -> Result<Tensors> {
    let number = |text: &str| {
        let number = text.parse::<usize>();
        number.map_err(|_| Error::Parameter(format!("{text} is no number")))
    };
    let (outputs, weight_bits) = (number(outputs)?, number(weight_bits)?);
    let weights: Vec<f32> = std::fs::read(path)?
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let scales = Scales {
        input_q: 9,
        output_q: 9,
        input_max: 1 << 15,
        weight_bits: weight_bits as u8,
    };
    let quantized = quantize_rows(&weights, &vec![0.0; outputs], &scales)?;
    let dims = [outputs, weights.len() / outputs];
    let mut tensors = Tensors::default();
    tensors.insert(ModelTensor::new(
        "weights",
        &dims,
        TensorData::I16(quantized.weights),
    )?)?;
    Ok(tensors)
}

fn raw_bytes(tensors: &Tensors) -> Vec<u8> {
    let mut raw = Vec::new();
    for tensor in tensors.iter() {
        match &tensor.data {
            TensorData::I8(values) => raw.extend(values.iter().map(|&v| v as u8)),
            TensorData::I16(values) => raw.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            TensorData::I32(values) => raw.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            TensorData::U8(values) | TensorData::Packed(values) => raw.extend(values),
            TensorData::Cdf(values) => raw.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        }
    }
    raw
}

fn report(tensors: Tensors, raw_len: usize) -> Result<()> {
    let elements = tensors.elements();
    let data = ModelData {
        tensors,
        ..ModelData::default()
    };
    let start = Instant::now();
    let file = data.write()?;
    let written = start.elapsed();
    let start = Instant::now();
    Model::read(&file, &Budget::new(Limits::default()))?;
    let read = start.elapsed();
    println!(
        "{elements} elements: raw {raw_len} bytes ({:.2} bits each), file {} bytes ({:.2} bits each); \
         written in {:.0} ms, read in {:.0} ms",
        raw_len as f64 * 8.0 / elements as f64,
        file.len(),
        file.len() as f64 * 8.0 / elements as f64,
        written.as_secs_f64() * 1e3,
        read.as_secs_f64() * 1e3,
    );
    Ok(())
}
