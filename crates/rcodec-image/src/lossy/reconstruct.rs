//! From decoded latents to rows: what encoder and decoder do alike.

use super::samples::to_samples;
use super::{HALO_ROWS, IntegerCodec, LATENT_FACTOR};
use rcodec_core::{ColorType, ImageHeader, ImageStrip, Reservation, Result, Samples};
use rcodec_fixed::{Shape, Tensor};

/// Latent rows of the halo.
const HALO_LATENTS: usize = HALO_ROWS / LATENT_FACTOR;

/// A band whose latents are known.
pub(super) struct Band {
    /// Decoded latents.
    pub(super) y_hat: Tensor,
    /// Rows of the picture.
    pub(super) rows: usize,
    /// Its alpha, if the picture has one.
    pub(super) alpha: Option<Samples>,
    /// The memory of what is here.
    pub(super) _memory: Reservation,
}

/// Turns bands into strips, each when the latents of the next are known.
pub(super) struct Reconstruction {
    width: usize,
    kind: (ColorType, u8),
    quality: usize,
    /// The last latent rows of the band before `waiting`.
    above: Vec<i16>,
    waiting: Option<Band>,
}

impl Reconstruction {
    pub(super) fn new(header: &ImageHeader, quality: usize) -> Self {
        Reconstruction {
            width: header.width as usize,
            kind: (header.color, header.bits),
            quality,
            above: Vec::new(),
            waiting: None,
        }
    }

    /// Takes the next band and gives the strip of the one before.
    pub(super) fn push(
        &mut self,
        next: Band,
        networks: &mut IntegerCodec,
    ) -> Result<Option<ImageStrip>> {
        let strip = match self.waiting.take() {
            Some(band) => {
                let row = row_len(&next.y_hat);
                let below = next.y_hat.values();
                let below = &below[..below.len().min(HALO_LATENTS * row)];
                let strip = self.strip(&band, below, networks)?;
                let values = band.y_hat.values();
                self.above = values[values.len().saturating_sub(HALO_LATENTS * row)..].to_vec();
                Some(strip)
            }
            None => None,
        };
        self.waiting = Some(next);
        Ok(strip)
    }

    /// The strip of the last band.
    pub(super) fn finish(&mut self, networks: &mut IntegerCodec) -> Result<Option<ImageStrip>> {
        match self.waiting.take() {
            Some(band) => self.strip(&band, &[], networks).map(Some),
            None => Ok(None),
        }
    }

    fn strip(&self, band: &Band, below: &[i16], networks: &mut IntegerCodec) -> Result<ImageStrip> {
        let shape = band.y_hat.shape();
        let values = [&self.above, band.y_hat.values(), below].concat();
        let height = values.len() / row_len(&band.y_hat);
        let shape = Shape::new(height, shape.width, shape.channels)?;
        let y_hat = Tensor::from_values(shape, band.y_hat.q(), values)?;
        let x_hat = networks.synthesise(&y_hat, self.quality)?;
        let first = self.above.len() / row_len(&band.y_hat) * LATENT_FACTOR;
        let padded_width = x_hat.shape().width;
        let rows = x_hat.values().chunks_exact(3 * padded_width);
        let rows = rows.skip(first).take(band.rows);
        let pixels = rows.flat_map(|row| row.chunks_exact(3).take(self.width));
        Ok(ImageStrip {
            rows: band.rows as u32,
            samples: to_samples(pixels, self.kind, band.alpha.as_ref()),
        })
    }
}

/// Values of a row of latents.
fn row_len(y_hat: &Tensor) -> usize {
    y_hat.shape().width * y_hat.shape().channels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lossy::{LATENT_Q, rgb8};
    use rcodec_core::{Budget, Limits};
    use rcodec_fixed::{Engine, QFormat};
    use rcodec_model::Model;

    /// What comes of latents in bands of so many rows of them.
    fn reconstruct(latents: &Tensor, header: &ImageHeader, band: usize) -> Vec<u8> {
        let budget = Budget::new(Limits::default());
        let file = include_bytes!("../../tests/data/tiny.rcm");
        let model = Model::read(file, &budget).unwrap();
        let mut networks = IntegerCodec::new(&model, Engine::new(), &budget).unwrap();
        let mut reconstruction = Reconstruction::new(header, 40);
        let shape = latents.shape();
        let row = shape.width * shape.channels;
        let mut strips = Vec::new();
        for values in latents.values().chunks(band * row) {
            let shape = Shape::new(values.len() / row, shape.width, shape.channels).unwrap();
            let next = Band {
                y_hat: Tensor::from_values(shape, latents.q(), values.to_vec()).unwrap(),
                rows: shape.height * LATENT_FACTOR,
                alpha: None,
                _memory: budget.reserve(0).unwrap(),
            };
            strips.extend(reconstruction.push(next, &mut networks).unwrap());
        }
        strips.extend(reconstruction.finish(&mut networks).unwrap());
        let samples = strips.into_iter().flat_map(|strip| match strip.samples {
            Samples::U8(samples) => samples,
            Samples::U16(_) => panic!("8 bits"),
        });
        samples.collect()
    }

    #[test]
    fn bands_are_as_one_picture() {
        let header = ImageHeader {
            width: 64,
            height: 640,
            color: ColorType::Rgb,
            bits: 8,
            palette: Vec::new(),
        };
        let shape = Shape::new(40, 4, 24).unwrap();
        let values = (0..40 * 4 * 24).map(|i: i32| ((i * 7919) % 1001 - 500) as i16);
        let q = QFormat::new(LATENT_Q).unwrap();
        let latents = Tensor::from_values(shape, q, values.collect()).unwrap();
        let whole = reconstruct(&latents, &header, 40);
        assert_eq!(whole.len(), 64 * 640 * 3);
        assert!(whole.iter().any(|&sample| sample != rgb8([0; 3])[0]));
        for band in [8, 12, 20] {
            assert!(reconstruct(&latents, &header, band) == whole, "{band}");
        }
    }
}
