//! Bytes that come little by little, such as a log: they are not to wait for
//! more.

use rcodec::{Media, Result, StreamEncoder};
use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Pieces that may wait for the encoder.
const PIECES: usize = 8;

/// What a reader gives, piece by piece as it comes.
fn pieces(mut reader: Box<dyn BufRead + Send>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(PIECES);
    // It ends with the input, or when nobody takes its pieces.
    thread::spawn(move || {
        while let Some(piece) = next_piece(&mut reader).transpose() {
            let is_last = piece.is_err();
            if send(&sender, piece).is_none() || is_last {
                break;
            }
        }
    });
    receiver
}

fn send(sender: &SyncSender<io::Result<Vec<u8>>>, piece: io::Result<Vec<u8>>) -> Option<()> {
    sender.send(piece).ok()
}

fn next_piece(reader: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    loop {
        match reader.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(bytes) => {
                let piece = bytes.to_vec();
                reader.consume(piece.len());
                return Ok(Some(piece));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Encodes all that comes; nothing waits longer than `interval` before it is
/// written.
pub(crate) fn write_all<W: Write>(
    reader: Box<dyn BufRead + Send>,
    encoder: &mut StreamEncoder<'_, W>,
    interval: Duration,
) -> Result<()> {
    let pieces = pieces(reader);
    // When what was taken has to be out.
    let mut due: Option<Instant> = None;
    loop {
        let wait = due.map_or(interval, |due| {
            due.saturating_duration_since(Instant::now())
        });
        match pieces.recv_timeout(wait) {
            Ok(piece) => {
                encoder.write(Media::Bytes(piece?))?;
                due.get_or_insert_with(|| Instant::now() + interval);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            encoder.flush()?;
            due = None;
        }
    }
}
