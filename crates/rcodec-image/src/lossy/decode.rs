//! Blocks in, strips out.

use super::IntegerCodec;
use super::codec::Geometry;
use super::params::Params;
use super::reconstruct::{Band, Reconstruction};
use crate::lossless::group::{GroupShape, decode_group};
use crate::progress::PictureProgress;
use rcodec_core::{
    Block, BlockSource, ColorType, DecodeContext, Decoder, Error, ImageHeader, Media, Result,
    Samples,
};
use rcodec_entropy::RangeBitDecoder;

/// Decodes band after band.
pub(super) struct BandDecoder<'a> {
    kind: (ColorType, u8),
    params: Params,
    geometry: Geometry,
    networks: IntegerCodec,
    progress: PictureProgress<'a>,
    context: DecodeContext<'a>,
    next_row: usize,
    /// Where the file ended, as far as it has been read.
    read_to: u64,
    reconstruction: Reconstruction,
    finished: bool,
}

impl<'a> BandDecoder<'a> {
    pub(super) fn new(
        header: &ImageHeader,
        params: Params,
        geometry: Geometry,
        networks: IntegerCodec,
        context: DecodeContext<'a>,
    ) -> Self {
        BandDecoder {
            kind: (header.color, header.bits),
            params,
            geometry,
            networks,
            progress: PictureProgress::new(context.progress, header.total_samples()),
            context,
            next_row: 0,
            read_to: 0,
            reconstruction: Reconstruction::new(header, params.quality.into()),
            finished: false,
        }
    }

    /// Latents and alpha of the next band.
    fn decode_band(&mut self, block: &Block) -> Result<Band> {
        let (rows, padded_rows) = self.geometry.rows_at(self.next_row);
        let memory = self
            .context
            .budget
            .reserve(self.geometry.band_bytes(padded_rows))?;
        let payload = &block.payload[..];
        let (colour, alpha) = if self.kind.0.channels().is_multiple_of(2) {
            let (length, rest) = payload.split_first_chunk().ok_or(Error::Truncated {
                at: payload.len() as u64,
            })?;
            let length = u32::from_le_bytes(*length) as usize;
            if length > rest.len() {
                return Err(Error::malformed(0, "longer than its block"));
            }
            let (colour, alpha) = rest.split_at(length);
            (colour, Some(alpha))
        } else {
            (payload, None)
        };
        let colour_at = if alpha.is_some() { 4 } else { 0 };
        let alpha_at = colour_at + colour.len() as u64;
        let sides = [self.geometry.padded_width, padded_rows];
        let y_hat = self
            .decode_colour(colour, sides)
            .map_err(|e| e.offset_by(colour_at))?;
        let alpha = alpha.map(|alpha| self.decode_alpha(alpha, rows));
        let alpha = alpha.transpose().map_err(|e| e.offset_by(alpha_at))?;
        let samples = (rows * self.geometry.width * self.kind.0.channels()) as u64;
        self.progress.group(samples).add(samples)?;
        self.next_row += rows;
        Ok(Band {
            y_hat,
            rows,
            alpha,
            _memory: memory,
        })
    }

    fn decode_colour(&mut self, payload: &[u8], sides: [usize; 2]) -> Result<rcodec_fixed::Tensor> {
        let mut coder = RangeBitDecoder::new(payload);
        let quality = self.params.quality.into();
        let y_hat = self.networks.code(&mut coder, None, sides, quality)?;
        coder.finish()?;
        Ok(y_hat)
    }

    fn decode_alpha(&self, payload: &[u8], rows: usize) -> Result<Samples> {
        let shape = GroupShape {
            width: self.geometry.width,
            bits: self.kind.1,
            channels: 1,
        };
        let progress = PictureProgress::new(self.context.progress, 0);
        decode_group(payload, shape, rows as u32, &self.context.budget, &progress)
    }
}

impl Decoder for BandDecoder<'_> {
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        while !self.finished {
            let block = source.next_block()?;
            if self.next_row >= self.geometry.height {
                if let Some(block) = block {
                    let what = "there is a block after the last row";
                    return Err(Error::malformed(block.at, what));
                }
                self.finished = true;
                let strip = self.reconstruction.finish(&mut self.networks)?;
                return Ok(strip.map(Media::Image));
            }
            let block = block.ok_or(Error::Truncated { at: self.read_to })?;
            self.read_to = block.at + block.payload.len() as u64;
            let band = self
                .decode_band(&block)
                .map_err(|e| e.offset_by(block.at))?;
            if let Some(strip) = self.reconstruction.push(band, &mut self.networks)? {
                return Ok(Some(Media::Image(strip)));
            }
        }
        Ok(None)
    }
}
