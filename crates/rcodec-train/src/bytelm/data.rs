//! Texts with what the core of `text` says of each bit: the material.
//!
//! The core is primed as it is where the network will be used, but never by a
//! text that it is asked about: the texts of a kind are dealt into parts, and each
//! part is traced with a prior of the others. A trace file is a list of pieces:
//!
//! ```text
//! u32 bytes   u8 held_out   bytes   i16 × 8 × bytes: the core's predictions, Q8
//! ```

use rayon::prelude::*;
use rcodec_core::{Error, Result};
use rcodec_model::Model;
use rcodec_text::{PriorOptions, trace, train_prior};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Sizes of pieces, in turn, in KiB.
const PIECE_KIB: [usize; 6] = [1, 2, 4, 8, 2, 16];
/// One piece in so many is held out.
const HELD_OUT: u64 = 10;
/// Pieces that are traced at once.
const CHUNK: usize = 32;

/// A piece of a text, traced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// What the kind's file was called.
    pub kind: String,
    /// Whether it is for validation only.
    pub held_out: bool,
    /// The text.
    pub bytes: Vec<u8>,
    /// What the core says of each bit, in the logistic domain, Q8.
    pub core_q8: Vec<[i16; 8]>,
}

/// Whether a piece is held out: by its hash, so that a run with more texts
/// holds out the same ones.
fn is_held_out(bytes: &[u8]) -> bool {
    let hash = blake3::hash(bytes);
    let first = hash
        .as_bytes()
        .first_chunk()
        .map(|b| u64::from_le_bytes(*b));
    first.is_some_and(|hash| hash % HELD_OUT == 0)
}

/// Cuts a text, taking no more than `most` bytes evenly spread over it.
fn pieces(text: &[u8], most: usize) -> Vec<&[u8]> {
    let skip = text.len().saturating_sub(most) as f64 / most.max(1) as f64;
    let (mut at, mut rest, mut pieces) = (0, text, Vec::new());
    while !rest.is_empty() {
        let len = (PIECE_KIB[at % PIECE_KIB.len()] << 10).min(rest.len());
        let (piece, after) = rest.split_at(len);
        pieces.push(piece);
        rest = after.get((len as f64 * skip) as usize..).unwrap_or(&[]);
        at += 1;
    }
    pieces
}

/// Traces the texts of one kind, in `parts` parts of whole texts: each with a
/// prior of the others.
///
/// # Errors
/// [`Error::Parameter`] for fewer than two texts or parts, or too little text.
pub fn trace_kind(texts: &[Vec<u8>], parts: usize, most: usize, out: &Path) -> Result<()> {
    let parts = parts.min(texts.len());
    if parts < 2 {
        return Err(Error::parameter("a kind needs at least two texts"));
    }
    // The largest text first, each to the part that has least.
    let mut by_size: Vec<usize> = (0..texts.len()).collect();
    by_size.sort_by_key(|&i| std::cmp::Reverse(texts[i].len()));
    let (mut sizes, mut part_of) = (vec![0; parts], vec![0; texts.len()]);
    for i in by_size {
        let least = (0..parts).min_by_key(|&part| sizes[part]).unwrap_or(0);
        sizes[least] += texts[i].len();
        part_of[i] = least;
    }
    let mut file = BufWriter::new(File::create(out)?);
    for part in 0..parts {
        let of_part = texts
            .iter()
            .zip(&part_of)
            .map(|(text, &of)| (text, of == part));
        let (own, others): (Vec<_>, Vec<_>) = of_part.partition(|&(_, is_own)| is_own);
        let others: Vec<Vec<u8>> = others.iter().map(|&(text, _)| text.clone()).collect();
        let (prior, _) = train_prior(&others, &PriorOptions::default())?.build()?;
        let pieces: Vec<&[u8]> = own
            .iter()
            .flat_map(|(text, _)| pieces(text, most))
            .collect();
        write(&mut file, &pieces, &prior, is_held_out)?;
    }
    Ok(file.flush()?)
}

/// Traces texts that a prior has not seen, each as one piece, for measuring.
///
/// # Errors
/// Those of a file that is no prior.
pub fn trace_whole(texts: &[Vec<u8>], prior: &Model, out: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(out)?);
    let pieces: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    write(&mut file, &pieces, prior, |_| true)?;
    Ok(file.flush()?)
}

fn write(
    file: &mut BufWriter<File>,
    pieces: &[&[u8]],
    prior: &Model,
    is_held_out: impl Fn(&[u8]) -> bool,
) -> Result<()> {
    let mut bits = 0.0;
    for chunk in pieces.chunks(CHUNK) {
        let traces = chunk
            .par_iter()
            .map(|piece| Ok(trace([*piece], prior)?.remove(0)))
            .collect::<Result<Vec<_>>>()?;
        for (piece, trace) in chunk.iter().zip(traces) {
            file.write_all(&(piece.len() as u32).to_le_bytes())?;
            file.write_all(&[u8::from(is_held_out(piece))])?;
            file.write_all(piece)?;
            for x_q8 in trace.as_flattened() {
                file.write_all(&x_q8.to_le_bytes())?;
            }
            bits += cost(piece, &trace);
        }
    }
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mean = bits / total.max(1) as f64;
    println!(
        "{} pieces, {total} bytes at {mean:.4} bits each",
        pieces.len()
    );
    Ok(())
}

/// What a text costs by its trace, in bits.
pub fn cost(bytes: &[u8], trace: &[[i16; 8]]) -> f64 {
    let of_byte = |(&byte, x_q8): (&u8, &[i16; 8])| -> f64 {
        let of_bit = |(i, &x): (usize, &i16)| {
            let x = f64::from(x) / 256.0;
            let x = if byte >> (7 - i) & 1 == 1 { x } else { -x };
            (-x).exp().ln_1p() / std::f64::consts::LN_2
        };
        x_q8.iter().enumerate().map(of_bit).sum()
    };
    bytes.iter().zip(trace).map(of_byte).sum()
}

/// Reads the pieces of a trace file.
///
/// # Errors
/// [`Error::Truncated`] if it ends early.
pub fn read(path: &Path) -> Result<Vec<Piece>> {
    let file = fs::read(path)?;
    let kind = path.file_stem().unwrap_or_default().to_string_lossy();
    let (mut rest, mut pieces) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let piece = (|| {
            let (&len, after) = rest.split_first_chunk()?;
            let len = u32::from_le_bytes(len) as usize;
            let (&held_out, after) = after.split_first()?;
            let (bytes, after) = after.split_at_checked(len)?;
            let (core, after) = after.split_at_checked(len.checked_mul(16)?)?;
            let values = core.as_chunks().0.iter().map(|&x| i16::from_le_bytes(x));
            let values: Vec<i16> = values.collect();
            let piece = Piece {
                kind: kind.to_string(),
                held_out: held_out != 0,
                bytes: bytes.to_vec(),
                core_q8: values.as_chunks().0.to_vec(),
            };
            Some((piece, after))
        })();
        let at = (file.len() - rest.len()) as u64;
        let (piece, after) = piece.ok_or(Error::Truncated { at })?;
        pieces.push(piece);
        rest = after;
    }
    Ok(pieces)
}
