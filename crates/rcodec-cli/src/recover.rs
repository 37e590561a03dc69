//! `decode --recover`: what is left of damaged sound.

use crate::exit::Failure;
use crate::inputs::Input;
use crate::progress::FileProgress;
use rcodec::{Budget, ContainerReader, Form, Recovery, Reservation};
use std::io::Read;
use std::sync::Arc;

/// A file in memory.
pub(crate) struct Whole {
    pub(crate) bytes: Vec<u8>,
    _memory: Vec<Reservation>,
}

/// Reads all of a file: blocks are looked for everywhere in it.
pub(crate) fn read_whole(
    input: &Input,
    progress: &Arc<FileProgress>,
    budget: &Budget,
) -> Result<Whole, Failure> {
    const STEP_BYTES: u64 = 4 << 20;
    let mut reader = input.open(progress)?;
    let mut whole = Whole {
        bytes: Vec::new(),
        _memory: Vec::new(),
    };
    loop {
        whole._memory.push(budget.reserve(STEP_BYTES)?);
        let read = (&mut reader)
            .take(STEP_BYTES)
            .read_to_end(&mut whole.bytes)?;
        if (read as u64) < STEP_BYTES {
            return Ok(whole);
        }
    }
}

/// Whether a file has blocks. One that has not is decoded as always, and one
/// that cannot be opened at all is left to fail there or here alike.
pub(crate) fn is_worth_it(file: &[u8]) -> bool {
    match ContainerReader::open(file, Budget::new(rcodec::Limits::default())) {
        Ok(reader) => reader.form() == Form::Blocks,
        Err(_) => true,
    }
}

/// Says on standard error where silence stands; gives back a summary if there
/// is any.
pub(crate) fn report(input: &Input, recovery: &Recovery, sample_rate: u32) -> Option<String> {
    let name = input.path.display();
    let mut lost_frames = 0;
    for silence in recovery.silences() {
        lost_frames += silence.frames;
        eprintln!(
            "rcodec: {name}: damaged at byte {}: silence from {} to {} ({} frames)",
            silence.at,
            clock(silence.from, sample_rate),
            clock(silence.from + silence.frames, sample_rate),
            silence.frames
        );
    }
    let mut parts = Vec::new();
    if lost_frames > 0 {
        parts.push(format!(
            "{lost_frames} frames ({}) of {} are lost and silent",
            clock(lost_frames, sample_rate),
            recovery.frames()
        ));
    }
    if recovery.is_cut() {
        parts.push("the end of the file is missing".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A number of frames as H:MM:SS.mmm.
fn clock(frames: u64, sample_rate: u32) -> String {
    let rate = u64::from(sample_rate.max(1));
    let seconds = frames / rate;
    let milliseconds = frames % rate * 1000 / rate;
    format!(
        "{}:{:02}:{:02}.{milliseconds:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_written() {
        assert_eq!(clock(0, 44_100), "0:00:00.000");
        assert_eq!(clock(44_100 * 3723 + 22_050, 44_100), "1:02:03.500");
    }
}
