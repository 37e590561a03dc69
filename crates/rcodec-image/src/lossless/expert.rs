//! What the learned expert of lossless photographs is trained on, and made of:
//! for `rcodec-train`.

use crate::lossless::group::{GroupShape, examples as examples_of};
use crate::lossless::photo::Networks;
use crate::lossless::plane::Planes;
use rcodec_core::{Error, ImageHeader, Result, Samples};
use rcodec_fixed::Engine;

pub use crate::lossless::photo::{Example, FloatLayer, INPUTS, UNITS, quantise};

/// Examples from a picture, by the number of colours that the expert knows
/// (none, one, two): one sample in `one_in`. They are what the codec itself sees
/// at effort 9.
///
/// # Errors
/// [`Error::Parameter`] for samples that are not those of `header`;
/// [`Error::Limit`].
pub fn examples(header: &ImageHeader, samples: &Samples, one_in: u32) -> Result<[Vec<Example>; 3]> {
    let shape = GroupShape::of(header)?;
    let fits = match samples {
        Samples::U8(_) => header.bits <= 8,
        Samples::U16(_) => header.bits > 8,
    };
    if !fits || samples.is_empty() || samples.len() as u64 != header.total_samples() {
        return Err(Error::parameter("the samples are those of another picture"));
    }
    let planes = Planes::from_interleaved(samples, shape.width, shape.bits, shape.channels);
    examples_of(planes, shape, one_in)
}

/// What the networks of a file, as [`quantise`] gives it, make of inputs: the
/// mean, Q10 of the unit, and the binary logarithm of the scale, Q10.
///
/// # Errors
/// Those of [`quantise`]; [`Error::Parameter`] for more than two colours.
pub fn outputs(file: &[u8], colours: usize, inputs: &[[i16; INPUTS]]) -> Result<Vec<[i16; 2]>> {
    let networks = Networks::read(file)?;
    let network = networks.0.get(colours);
    let network = network.ok_or_else(|| Error::parameter("no more than two colours"))?;
    let engine = Engine::new();
    let outputs = inputs.iter().map(|inputs| network.apply(&engine, inputs));
    outputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::ColorType;

    #[test]
    fn examples_are_what_the_codec_sees() {
        let mut header = ImageHeader {
            width: 40,
            height: 30,
            color: ColorType::Rgb,
            bits: 8,
            palette: Vec::new(),
        };
        let pixel = |i: usize| (i / 3 % 40 * 3 + i / 120 * 2 + i % 3 * 5 + i * i % 7) as u8;
        let samples = Samples::U8((0..3600).map(pixel).collect());
        let all = examples(&header, &samples, 1).unwrap();
        let some = examples(&header, &samples, 10).unwrap();
        for colours in 0..3 {
            assert_eq!(all[colours].len(), 1200);
            assert!((60..180).contains(&some[colours].len()));
            assert!(
                some[colours]
                    .iter()
                    .all(|example| all[colours].contains(example))
            );
            // Of a channel that is not known, nothing is seen.
            let blind = all[colours].iter().all(|e| e.inputs[43..58] == [0; 15]);
            assert_eq!(blind, colours < 2);
        }
        header.height = 29;
        assert!(examples(&header, &samples, 1).is_err());
    }
}
