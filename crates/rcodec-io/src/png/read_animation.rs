//! Reading animated PNG: each frame is read as a PNG of its own.

use super::SIGNATURE;
use super::animation::{Animation, Frame};
use super::chunks::{Layout, chunk_bytes, read_chunk};
use super::read::{Reason, describe, open_with, read_all};
use crate::input::{Input, Whole};
use crate::source::{Attempt, Opened};
use crate::strips::Picture;
use rcodec_core::{Budget, ImageHeader, MediaHeader, MetadataKey, Result, Samples};
use std::ops::Range;
use std::sync::Arc;

/// Opens an animated PNG file.
pub(crate) fn open(input: Input, budget: &Budget) -> Result<Attempt> {
    open_with(input, budget, try_open)
}

fn try_open(whole: &Arc<Whole>, budget: &Budget) -> Result<Opened, Reason> {
    let file = &whole.bytes[..];
    let parts = Parts::of(file, budget)?;
    let layout = Layout::parse(&parts.still.bytes)?;
    let canvas = &layout.header;
    let animation = &parts.animation;
    animation.check(canvas.width, canvas.height)?;
    let rows = u64::from(canvas.height) + animation.later_rows();
    let header = ImageHeader {
        height: u32::try_from(rows).map_err(|_| "the animation has too many rows")?,
        ..canvas.clone()
    };
    budget
        .check_samples(header.total_samples())
        .map_err(|_| "it has more samples than allowed")?;
    let mut picture = Picture::reserve(&header, budget).map_err(|e| e.to_string())?;
    read_all(&parts.still, &layout, &mut picture.samples, budget)?;
    for (frame, data) in animation.later().iter().zip(&parts.data) {
        append_frame(file, frame, data, canvas, &mut picture.samples, budget)?;
    }
    let (mut metadata, tail) = describe(&layout, &parts.still.bytes)?;
    for item in &mut metadata.items {
        if item.key == MetadataKey::SOURCE_FORMAT {
            item.value = b"apng".to_vec();
        }
    }
    metadata.push(MetadataKey::ANIMATION, animation.to_bytes());
    Ok(Opened {
        header: MediaHeader::Image(header),
        metadata,
        units: picture.into_units(tail),
    })
}

/// Decodes a frame and appends it, as wide as the canvas.
fn append_frame(
    file: &[u8],
    frame: &Frame,
    data: &[Range<usize>],
    canvas: &ImageHeader,
    to: &mut Samples,
    budget: &Budget,
) -> Result<(), Reason> {
    let pieces = data.iter().map(|range| &file[range.clone()]);
    let data: Vec<u8> = pieces.flatten().copied().collect();
    let still = still_of(file, frame, canvas, &data);
    let memory = (still.len() + data.len()) as u64;
    let held = budget.reserve(memory).map_err(|e| e.to_string())?;
    let still = Arc::new(Whole {
        bytes: still,
        held: vec![held],
    });
    let layout = Layout::parse(&still.bytes)?;
    let mut picture = Picture::reserve(&layout.header, budget).map_err(|e| e.to_string())?;
    read_all(&still, &layout, &mut picture.samples, budget)?;
    let before = frame.left() as usize * canvas.color.channels();
    let row = layout.header.row_samples();
    match (&picture.samples, to) {
        (Samples::U8(from), Samples::U8(to)) => widen(from, row, before, canvas, to),
        (Samples::U16(from), Samples::U16(to)) => widen(from, row, before, canvas, to),
        _ => return Err("a frame has other samples".to_owned()),
    }
    Ok(())
}

/// Appends rows with zeros before and behind them.
fn widen<T: Copy + Default>(
    from: &[T],
    row: usize,
    before: usize,
    canvas: &ImageHeader,
    to: &mut Vec<T>,
) {
    for samples in from.chunks_exact(row) {
        let end = to.len() + canvas.row_samples();
        to.resize(to.len() + before, T::default());
        to.extend_from_slice(samples);
        to.resize(end, T::default());
    }
}

/// A PNG file of a frame alone.
fn still_of(file: &[u8], frame: &Frame, canvas: &ImageHeader, data: &[u8]) -> Vec<u8> {
    // Depth and methods are those of the file.
    let methods = &file[SIGNATURE.len() + 16..SIGNATURE.len() + 21];
    let size = [frame.width().to_be_bytes(), frame.height().to_be_bytes()].concat();
    let mut still = SIGNATURE.to_vec();
    still.extend(chunk_bytes(b"IHDR", &[&size, methods].concat()));
    if !canvas.palette.is_empty() {
        let colours: Vec<u8> = canvas
            .palette
            .iter()
            .flat_map(|c| [c[0], c[1], c[2]])
            .collect();
        still.extend(chunk_bytes(b"PLTE", &colours));
    }
    still.extend(chunk_bytes(b"IDAT", data));
    still.extend(chunk_bytes(b"IEND", &[]));
    still
}

/// An animated PNG taken apart.
struct Parts {
    /// The file without its animation.
    still: Arc<Whole>,
    animation: Animation,
    /// The compressed data of the frames behind the default image.
    data: Vec<Vec<Range<usize>>>,
}

impl Parts {
    fn of(file: &[u8], budget: &Budget) -> Result<Self, Reason> {
        // The still, and what is kept of the frames: at most 28 bytes for
        // each chunk of at least as many.
        let held = budget.reserve(2 * file.len() as u64);
        let held = held.map_err(|e| e.to_string())?;
        let mut still = SIGNATURE.to_vec();
        let mut data: Vec<Vec<Range<usize>>> = Vec::new();
        let mut animation = Animation {
            plays: 0,
            begins_with_default: false,
            frames: Vec::new(),
        };
        let (mut announced, mut sequence, mut seen_data) = (None, 0, false);
        let mut at = SIGNATURE.len();
        loop {
            let chunk = read_chunk(file, at)?;
            at = chunk.whole.end;
            let content = &file[chunk.data.clone()];
            match &chunk.name {
                b"acTL" => {
                    let (count, plays) = content.split_at_checked(4).ok_or("acTL is too short")?;
                    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes);
                    animation.plays = number(plays).map_err(|_| "acTL has a wrong length")?;
                    let count = number(count).map_err(|_| "acTL has a wrong length")?;
                    if announced.replace(count).is_some() || seen_data {
                        return Err("the animation begins twice, or too late".to_owned());
                    }
                }
                b"fcTL" => {
                    animation.push(content, sequence)?;
                    sequence += 1;
                    if seen_data {
                        data.push(Vec::new());
                    } else {
                        animation.begins_with_default = true;
                    }
                }
                b"fdAT" => {
                    let frame = data.last_mut().ok_or("a frame has no description")?;
                    if content.get(..4) != Some(&sequence.to_be_bytes()) {
                        return Err("the animation's chunks are out of order".to_owned());
                    }
                    sequence += 1;
                    frame.push(chunk.data.start + 4..chunk.data.end);
                }
                name => {
                    seen_data |= name == b"IDAT";
                    still.extend_from_slice(&file[chunk.whole]);
                    if name == b"IEND" {
                        break;
                    }
                }
            }
        }
        still.extend_from_slice(&file[at..]);
        let frames = data.len() + usize::from(animation.begins_with_default);
        if announced.map(|count| count as usize) != Some(frames) || animation.frames.len() != frames
        {
            return Err("the animation does not have the frames it should".to_owned());
        }
        let still = Arc::new(Whole {
            bytes: still,
            held: vec![held],
        });
        Ok(Parts {
            still,
            animation,
            data,
        })
    }
}
