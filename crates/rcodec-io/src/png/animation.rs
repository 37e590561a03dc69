//! What the frames of an animated PNG are: their places, times and how they
//! are put together (PNG, third edition, section 11.3.6).

use super::chunks::chunk_bytes;
use rcodec_core::{Metadata, MetadataKey};

/// Bytes of a frame in the metadata item: `fcTL` without its sequence number.
const FRAME_BYTES: usize = 22;

/// One frame, as its `fcTL` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width, height, left and upper edge on the canvas, in pixels; numerator
    /// and denominator of the seconds it is shown; how it is disposed of
    /// (0 stays, 1 cleared, 2 what was there before) and how it is drawn
    /// (0 replaces, 1 over). As in the file, most significant byte first.
    control: [u8; FRAME_BYTES],
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        let bytes = self.control[at..].first_chunk().copied();
        u32::from_be_bytes(bytes.unwrap_or_default())
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.number(0)
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.number(4)
    }

    /// Left edge on the canvas.
    pub(crate) fn left(&self) -> u32 {
        self.number(8)
    }

    /// Upper edge on the canvas.
    fn top(&self) -> u32 {
        self.number(12)
    }

    /// How long it is shown, in microseconds.
    pub fn duration_us(&self) -> u64 {
        let half = |at: usize| u16::from_be_bytes([self.control[at], self.control[at + 1]]);
        let per_second = match half(18) {
            0 => 100,
            some => u64::from(some),
        };
        u64::from(half(16)) * 1_000_000 / per_second
    }

    /// Whether it lies on a canvas, and says nothing that does not exist.
    fn fits(&self, width: u32, height: u32) -> bool {
        let within = |from: u32, length: u32, all: u32| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= all)
        };
        within(self.left(), self.width(), width)
            && within(self.top(), self.height(), height)
            && self.control[20] <= 2
            && self.control[21] <= 1
    }
}

/// An animation: what stands in [`MetadataKey::ANIMATION`].
///
/// The picture that goes with it is as wide as the canvas and holds the
/// default image and the frames after it, one below the other; what is beside
/// a frame that is narrower is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Animation {
    /// How often it is played; 0 is for ever.
    pub plays: u32,
    /// Whether the default image, which programs show that know nothing of
    /// animations, is the first frame; else it is none.
    pub begins_with_default: bool,
    /// The frames in their order.
    pub frames: Vec<Frame>,
}

impl Animation {
    /// The animation that metadata describe, if they do.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        if metadata.get_str(MetadataKey::SOURCE_FORMAT) != Some("apng") {
            return None;
        }
        let item = metadata.get(MetadataKey::ANIMATION)?;
        let (plays, rest) = item.split_first_chunk()?;
        let (&begins, rest) = rest.split_first()?;
        let (frames, odd) = rest.as_chunks();
        let frames: Vec<Frame> = frames.iter().map(|&control| Frame { control }).collect();
        let sound = begins <= 1 && odd.is_empty() && !frames.is_empty();
        sound.then_some(Animation {
            plays: u32::from_be_bytes(*plays),
            begins_with_default: begins == 1,
            frames,
        })
    }

    /// The metadata item.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.plays.to_be_bytes().to_vec();
        bytes.push(u8::from(self.begins_with_default));
        bytes.extend(self.frames.iter().flat_map(|frame| frame.control));
        bytes
    }

    /// Appends the frame that the data of an `fcTL` describe, which must have
    /// the sequence number `sequence`.
    pub(crate) fn push(&mut self, data: &[u8], sequence: u32) -> Result<(), &'static str> {
        let odd = "a frame of the animation makes no sense";
        let (number, rest) = data.split_first_chunk().ok_or(odd)?;
        let control = rest.try_into().map_err(|_| odd)?;
        if u32::from_be_bytes(*number) != sequence {
            return Err("the animation's chunks are out of order");
        }
        self.frames.push(Frame { control });
        Ok(())
    }

    /// Checks the frames against the canvas.
    ///
    /// # Errors
    /// Why they do not fit.
    pub(crate) fn check(&self, width: u32, height: u32) -> Result<(), &'static str> {
        if !self.frames.iter().all(|frame| frame.fits(width, height)) {
            return Err("a frame of the animation is not on its canvas");
        }
        match self.frames.first() {
            None => Err("the animation has no frames"),
            Some(first)
                if self.begins_with_default
                    && (first.width(), first.height()) != (width, height) =>
            {
                Err("the animation's first frame is not the default image")
            }
            Some(_) => Ok(()),
        }
    }

    /// The frames behind the default image.
    pub(crate) fn later(&self) -> &[Frame] {
        let first = usize::from(self.begins_with_default).min(self.frames.len());
        &self.frames[first..]
    }

    /// Rows of the frames behind the default image.
    pub(crate) fn later_rows(&self) -> u64 {
        let rows = self.later().iter().map(|frame| u64::from(frame.height()));
        rows.sum()
    }

    /// Height of the canvas, of the height of the picture that holds all frames.
    pub fn canvas_height(&self, picture_height: u32) -> u32 {
        u64::from(picture_height)
            .saturating_sub(self.later_rows())
            .try_into()
            .unwrap_or(0)
    }

    /// How long one play takes, in microseconds.
    pub fn duration_us(&self) -> u64 {
        self.frames.iter().map(Frame::duration_us).sum()
    }

    /// The chunks that stand before the default image, and the sequence number
    /// of the next.
    pub(crate) fn head_chunks(&self) -> (Vec<u8>, u32) {
        let count = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        let control = [count.to_be_bytes(), self.plays.to_be_bytes()].concat();
        let mut chunks = chunk_bytes(b"acTL", &control);
        let mut sequence = 0;
        if self.begins_with_default
            && let Some(first) = self.frames.first()
        {
            chunks.extend(frame_control(first, sequence));
            sequence += 1;
        }
        (chunks, sequence)
    }
}

/// The `fcTL` chunk of a frame.
pub(crate) fn frame_control(frame: &Frame, sequence: u32) -> Vec<u8> {
    chunk_bytes(
        b"fcTL",
        &[&sequence.to_be_bytes()[..], &frame.control].concat(),
    )
}
