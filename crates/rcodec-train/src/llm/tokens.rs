//! Texts as tokens.

use crate::random::Random;
use rcodec_core::{Error, Result};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// The token that every sequence begins with; it stands for no text.
pub(super) const BEGIN: &str = "<|endoftext|>";
/// How much of each text is held out: its end.
const HELD_OUT: f64 = 0.02;
/// About how many bytes are given to the tokenizer at once.
const PIECE_BYTES: usize = 1 << 14;
/// Pieces that the vocabulary is learned from, at most.
const MOST_PIECES: usize = 1024;

/// A corpus with its vocabulary.
pub struct Corpus {
    /// Converts between text and ids.
    pub(super) tokenizer: Tokenizer,
    /// Ids of each text, without its end.
    train: Vec<Vec<u32>>,
    /// Ids of the ends, and their bytes.
    held_out: Vec<u32>,
    pub(super) held_out_bytes: usize,
    /// The id of [`BEGIN`].
    begin: u32,
}

impl Corpus {
    /// Learns a vocabulary of `vocab_size` tokens (or takes one learned
    /// before) and converts the texts. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is too little text or the tokenizer fails.
    pub fn new(
        texts: &[Vec<u8>],
        vocab_size: usize,
        tokenizer: Option<Tokenizer>,
    ) -> Result<Corpus> {
        let texts: Vec<String> = texts
            .iter()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        let parts: Vec<(Vec<&str>, &str)> = texts
            .iter()
            .map(|text| {
                let end = text.len() - (text.len() as f64 * HELD_OUT) as usize;
                let (train, held_out) = text.split_at(boundary(text, end));
                (pieces(train), held_out)
            })
            .collect();
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => learn(&parts, vocab_size)?,
        };
        let ids = |pieces: &[&str]| -> Result<Vec<u32>> {
            let encoded = tokenizer.encode_batch(pieces.to_vec(), false);
            let encoded = encoded.map_err(|e| failed(&e))?;
            Ok(encoded.iter().flat_map(|e| e.get_ids().to_vec()).collect())
        };
        let train = parts.iter().map(|(train, _)| ids(train));
        let train: Vec<Vec<u32>> = train.collect::<Result<_>>()?;
        let ends: Vec<&str> = parts.iter().flat_map(|(_, end)| pieces(end)).collect();
        let held_out = ids(&ends)?;
        let begin = tokenizer.token_to_id(BEGIN);
        Ok(Corpus {
            train: train.into_iter().filter(|ids| ids.len() > 4096).collect(),
            held_out,
            held_out_bytes: ends.iter().map(|end| end.len()).sum(),
            begin: begin.ok_or_else(|| Error::parameter("a vocabulary without a beginning"))?,
            tokenizer,
        })
    }

    /// Tokens to train on.
    pub fn len(&self) -> usize {
        self.train.iter().map(Vec::len).sum()
    }

    /// Whether there is nothing to train on.
    pub fn is_empty(&self) -> bool {
        self.train.is_empty()
    }

    /// A batch of sequences of `length` ids, each the beginning token and a
    /// random stretch of a text.
    pub(super) fn batch(&self, rows: usize, length: usize, random: &mut Random) -> Vec<i32> {
        let total = self.len();
        let mut batch = Vec::new();
        for _ in 0..rows {
            let mut at = random.below(total);
            let mut chosen = &self.train[0];
            for text in &self.train {
                chosen = text;
                if at < text.len() {
                    break;
                }
                at -= text.len();
            }
            let at = at.min(chosen.len() - length);
            batch.push(self.begin as i32);
            batch.extend(chosen[at..at + length - 1].iter().map(|&id| id as i32));
        }
        batch
    }

    /// The held-out ids as sequences of `length`, at most `most` of them,
    /// evenly spread; and how many tokens are held out in all.
    pub(super) fn held_out(&self, length: usize, most: usize) -> (Vec<Vec<i32>>, usize) {
        let all: Vec<&[u32]> = self.held_out.chunks_exact(length - 1).collect();
        let step = all.len().div_ceil(most).max(1);
        let chosen = all.iter().step_by(step).map(|ids| {
            let ids = ids.iter().map(|&id| id as i32);
            std::iter::once(self.begin as i32).chain(ids).collect()
        });
        (chosen.collect(), self.held_out.len())
    }

    /// The id that begins a sequence.
    pub(super) fn begin(&self) -> u32 {
        self.begin
    }
}

fn learn(parts: &[(Vec<&str>, &str)], vocab_size: usize) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(BEGIN, true)])
        .show_progress(false)
        .build();
    let all: Vec<&str> = parts.iter().flat_map(|(train, _)| train.clone()).collect();
    let step = all.len().div_ceil(MOST_PIECES).max(1);
    let some = all.into_iter().step_by(step);
    tokenizer
        .train(&mut TrainerWrapper::BpeTrainer(trainer), some)
        .map_err(|e| failed(&e))?;
    Ok(tokenizer)
}

/// The last boundary of characters at or before a place in a text.
fn boundary(text: &str, at: usize) -> usize {
    let mut places = (0..=at.min(text.len())).rev();
    let found = places.find(|&place| text.is_char_boundary(place));
    found.unwrap_or(0)
}

/// A text in pieces that end with lines.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > PIECE_BYTES {
        let end = boundary(rest, PIECE_BYTES);
        let end = rest[..end].rfind('\n').map_or(end, |at| at + 1);
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

fn failed(error: &tokenizers::Error) -> Error {
    Error::Parameter(format!("tokenizer: {error}"))
}
