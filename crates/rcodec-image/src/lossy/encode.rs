//! Strips in, blocks out.

use super::codec::Geometry;
use super::params::Params;
use super::reconstruct::{Band, Reconstruction};
use super::samples::append_row;
use super::{HALO_ROWS, HYPER_FACTOR, IntegerCodec, LATENT_FACTOR, SAMPLE_Q};
use crate::lossless::group::{GroupShape, encode_group};
use crate::lossless::plane::Planes;
use crate::progress::PictureProgress;
use rcodec_core::{
    BlockSink, ColorType, EncodeContext, Encoder, Error, ImageHeader, ImageStrip, Media, ModelId,
    Result, Samples,
};
use rcodec_entropy::RangeBitEncoder;
use rcodec_fixed::{QFormat, Shape, Tensor};
use std::collections::VecDeque;

/// Collects rows into bands, and codes a band when it has its halo.
pub(super) struct BandEncoder<'a> {
    kind: (ColorType, u8),
    params: Params,
    geometry: Geometry,
    model: ModelId,
    networks: IntegerCodec,
    progress: PictureProgress<'a>,
    context: EncodeContext<'a>,
    rows_taken: usize,
    /// The first row of the band to be coded next.
    next_row: usize,
    /// Y, Co, Cg of rows from `window_row` on, `padded_width` pixels each.
    window: Vec<i16>,
    window_row: usize,
    /// Alpha of the rows from `next_row` on, if there is one.
    alpha: Samples,
    reconstruction: Reconstruction,
    decoded: VecDeque<Media>,
}

impl<'a> BandEncoder<'a> {
    pub(super) fn new(
        header: &ImageHeader,
        params: Params,
        geometry: Geometry,
        (model, networks): (ModelId, IntegerCodec),
        context: EncodeContext<'a>,
    ) -> Self {
        BandEncoder {
            kind: (header.color, header.bits),
            params,
            geometry,
            model,
            networks,
            progress: PictureProgress::new(context.progress, header.total_samples()),
            context,
            rows_taken: 0,
            next_row: 0,
            window: Vec::new(),
            window_row: 0,
            alpha: Samples::empty_for(header.bits),
            reconstruction: Reconstruction::new(header, params.quality.into()),
            decoded: VecDeque::new(),
        }
    }

    fn row_samples(&self) -> usize {
        self.geometry.width * self.kind.0.channels()
    }

    fn quality(&self) -> usize {
        self.params.quality.into()
    }

    fn check(&self, strip: &ImageStrip) -> Result<()> {
        let rows_left = self.geometry.height - self.rows_taken;
        if strip.rows == 0 || strip.rows as usize > rows_left {
            return Err(Error::parameter("strip has rows beyond the picture"));
        }
        if strip.samples.len() != strip.rows as usize * self.row_samples() {
            return Err(Error::parameter("strip does not have the picture's width"));
        }
        let fits = match (&strip.samples, self.kind.1) {
            (Samples::U8(_), 8) => true,
            (Samples::U16(v), bits @ 9..=16) => bits == 16 || v.iter().all(|&s| s >> bits == 0),
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(Error::parameter("samples that do not fit the header"))
        }
    }

    /// Codes the next band.
    fn code_band(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        let (rows, padded_rows) = self.geometry.rows_at(self.next_row);
        let memory = self
            .context
            .budget
            .reserve(self.geometry.band_bytes(padded_rows + 2 * HALO_ROWS))?;
        let y = self.analyse_band(padded_rows)?;
        let z = self.networks.hyper_latents(&y, self.quality())?;
        let mut coder = RangeBitEncoder::new();
        let sides = [self.geometry.padded_width, padded_rows];
        let quality = self.quality();
        let latents = Some((&y, &z));
        let y_hat = self.networks.code(&mut coder, latents, sides, quality)?;
        let colour = coder.finish();
        let samples = (rows * self.row_samples()) as u64;
        let mut progress = self.progress.group(samples);
        progress.add(samples)?;
        let alpha = self.take_alpha(rows);
        match &alpha {
            None => sink.write_block(&colour)?,
            Some(alpha) => sink.write_block(&self.with_alpha(colour, alpha)?)?,
        }
        let band = Band {
            y_hat,
            rows,
            alpha,
            _memory: memory,
        };
        self.next_row += rows;
        self.drop_rows();
        let strip = self.reconstruction.push(band, &mut self.networks)?;
        self.decoded.extend(strip.map(Media::Image));
        Ok(())
    }

    /// Latents of the next band, seen with what surrounds it.
    fn analyse_band(&mut self, padded_rows: usize) -> Result<Tensor> {
        let top = self.next_row.saturating_sub(HALO_ROWS);
        let picture_end = self.geometry.height.next_multiple_of(HYPER_FACTOR);
        let bottom = (self.next_row + padded_rows + HALO_ROWS).min(picture_end);
        let row = 3 * self.geometry.padded_width;
        let begin = (top - self.window_row) * row;
        let end = ((bottom - self.window_row) * row).min(self.window.len());
        let mut values = self.window[begin..end].to_vec();
        // Below the last row of the picture, the same again.
        let last = values[values.len() - row..].to_vec();
        while values.len() < (bottom - top) * row {
            values.extend(&last);
        }
        let shape = Shape::new(bottom - top, self.geometry.padded_width, 3)?;
        let x = Tensor::from_values(shape, QFormat::new(SAMPLE_Q)?, values)?;
        let y = self.networks.latents(&x, self.params.quality.into())?;
        let Shape {
            width, channels, ..
        } = y.shape();
        let latent_row = width * channels;
        let first = (self.next_row - top) / LATENT_FACTOR;
        let rows = padded_rows / LATENT_FACTOR;
        let values = y.values()[first * latent_row..][..rows * latent_row].to_vec();
        Tensor::from_values(Shape::new(rows, width, channels)?, y.q(), values)
    }

    /// The alpha of the next rows.
    fn take_alpha(&mut self, rows: usize) -> Option<Samples> {
        if self.alpha.is_empty() {
            return None;
        }
        let count = rows * self.geometry.width;
        Some(match &mut self.alpha {
            Samples::U8(alpha) => Samples::U8(alpha.drain(..count).collect()),
            Samples::U16(alpha) => Samples::U16(alpha.drain(..count).collect()),
        })
    }

    /// A payload of colour and alpha: the length of the colour, both parts.
    fn with_alpha(&self, colour: Vec<u8>, alpha: &Samples) -> Result<Vec<u8>> {
        let (width, bits) = (self.geometry.width, self.kind.1);
        let shape = GroupShape {
            width,
            bits,
            channels: 1,
        };
        let planes = Planes::from_interleaved(alpha, width, bits, 1);
        let effort = self.context.effort;
        let alpha = encode_group(&planes, shape, effort, None, self.progress.group(0))?;
        let length = u32::try_from(colour.len()).map_err(|_| Error::Limit("size of a block"))?;
        Ok([&length.to_le_bytes(), &colour[..], &alpha].concat())
    }

    /// Forgets rows that are in no further band's halo.
    fn drop_rows(&mut self) {
        let keep = self.next_row.saturating_sub(HALO_ROWS);
        let row = 3 * self.geometry.padded_width;
        let count = ((keep - self.window_row) * row).min(self.window.len());
        self.window.drain(..count);
        self.window_row = keep;
    }
}

impl Encoder for BandEncoder<'_> {
    fn params(&self) -> Vec<u8> {
        self.params.to_bytes()
    }

    fn models(&self) -> Vec<ModelId> {
        vec![self.model]
    }

    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let Media::Image(strip) = unit else {
            return Err(Error::parameter("image-lossy takes strips of a picture"));
        };
        self.check(&strip)?;
        let row_samples = self.row_samples();
        for row in 0..strip.rows as usize {
            let range = row * row_samples..(row + 1) * row_samples;
            let row: Vec<u32> = match &strip.samples {
                Samples::U8(samples) => samples[range].iter().map(|&s| s.into()).collect(),
                Samples::U16(samples) => samples[range].iter().map(|&s| s.into()).collect(),
            };
            let padded = self.geometry.padded_width;
            append_row(&row, self.kind, padded, &mut self.window, &mut self.alpha);
            self.rows_taken += 1;
            let (rows, _) = self.geometry.rows_at(self.next_row);
            let needed = (self.next_row + rows + HALO_ROWS).min(self.geometry.height);
            if self.rows_taken == needed && needed < self.geometry.height {
                self.code_band(sink)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        if self.rows_taken != self.geometry.height {
            return Err(Error::parameter("the picture lacks rows"));
        }
        while self.next_row < self.geometry.height {
            self.code_band(sink)?;
        }
        let strip = self.reconstruction.finish(&mut self.networks)?;
        self.decoded.extend(strip.map(Media::Image));
        Ok(())
    }

    fn next_decoded(&mut self) -> Option<Media> {
        self.decoded.pop_front()
    }
}
