//! `tokenizer.json`: the bytes of every token.
//!
//! Sorted, a vocabulary is its own trie: the tokens that begin with the same
//! bytes stand side by side, those that are the bytes themselves first.

use rcodec_core::{Error, Result};
use serde_json::Value;
use std::ops::Range;

/// The longest token that is used, in bytes.
const MOST_TOKEN_BYTES: usize = 255;

/// The tokens that stand for bytes, sorted by these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each token's bytes begin, and the end.
    starts: Vec<u32>,
    ids: Vec<u32>,
    /// The tokens that begin with each byte.
    first: Vec<Range<usize>>,
}

impl Vocabulary {
    /// Reads `tokenizer.json` for a model of so many tokens. Tokens beyond, and
    /// special ones, are left out.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what is no tokenizer, [`Error::Unsupported`] for
    /// one that is not made of bytes.
    pub fn parse(json: &[u8], model_tokens: usize) -> Result<Vocabulary> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| Error::Parameter(format!("tokenizer.json: {error}")))?;
        let bad = |what: &str| Error::Parameter(format!("tokenizer.json: {what}"));
        let vocabulary = value.pointer("/model/vocab").and_then(Value::as_object);
        let vocabulary = vocabulary.ok_or_else(|| bad("without a vocabulary"))?;
        let spelling = Spelling::of(&value)?;
        let added = value.get("added_tokens").and_then(Value::as_array);
        let added: Vec<(u64, Option<&str>)> = added
            .into_iter()
            .flatten()
            .filter_map(|token| {
                let is_special = token.get("special") == Some(&Value::Bool(true));
                let content = token.get("content").and_then(Value::as_str);
                Some((token.get("id")?.as_u64()?, content.filter(|_| !is_special)))
            })
            .collect();
        let mut tokens: Vec<(Vec<u8>, u64)> = Vec::new();
        for (text, id) in vocabulary {
            let id = id.as_u64().ok_or_else(|| bad("a token without a number"))?;
            if !added.iter().any(|&(added, _)| added == id)
                && let Some(bytes) = spelling.bytes(text)
            {
                tokens.push((bytes, id));
            }
        }
        for (id, content) in added {
            if let Some(content) = content {
                tokens.push((content.as_bytes().to_vec(), id));
            }
        }
        Vocabulary::new(tokens.into_iter().filter_map(|(bytes, id)| {
            let id = u32::try_from(id).ok()?;
            ((id as usize) < model_tokens).then_some((bytes, id))
        }))
    }

    /// Of tokens and their numbers.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are none.
    pub fn new(tokens: impl IntoIterator<Item = (Vec<u8>, u32)>) -> Result<Vocabulary> {
        let mut tokens: Vec<(Vec<u8>, u32)> = tokens
            .into_iter()
            .filter(|(bytes, _)| (1..=MOST_TOKEN_BYTES).contains(&bytes.len()))
            .collect();
        tokens.sort();
        tokens.dedup();
        if tokens.is_empty() {
            return Err(Error::parameter("a vocabulary without tokens"));
        }
        let mut vocabulary = Vocabulary {
            bytes: Vec::new(),
            starts: vec![0],
            ids: Vec::new(),
            first: Vec::new(),
        };
        for (bytes, id) in tokens {
            vocabulary.bytes.extend_from_slice(&bytes);
            let end = u32::try_from(vocabulary.bytes.len());
            let end = end.map_err(|_| Error::Limit("bytes of a vocabulary"))?;
            vocabulary.starts.push(end);
            vocabulary.ids.push(id);
        }
        let all = 0..vocabulary.ids.len();
        vocabulary.first = (0..=255)
            .map(|byte| vocabulary.child(all.clone(), 0, byte))
            .collect();
        Ok(vocabulary)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Never: there is a token at least.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The numbers of the tokens, in order.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The bytes of the token at a place in the order.
    pub fn token(&self, at: usize) -> &[u8] {
        &self.bytes[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// The tokens that begin with a byte.
    pub(crate) fn first(&self, byte: u8) -> Range<usize> {
        self.first[usize::from(byte)].clone()
    }

    /// Of tokens that agree in their first `depth` bytes, those that have no
    /// more.
    pub(crate) fn ending(&self, range: &Range<usize>, depth: usize) -> Range<usize> {
        let count = range
            .clone()
            .take_while(|&at| self.token(at).len() == depth)
            .count();
        range.start..range.start + count
    }

    /// Of tokens that agree in their first `depth` bytes and have more, those
    /// whose next is `byte`.
    pub(crate) fn child(&self, range: Range<usize>, depth: usize, byte: u8) -> Range<usize> {
        let key = |at: usize| self.token(at).get(depth).copied();
        let start = partition(range.clone(), |at| key(at) < Some(byte));
        let end = partition(start..range.end, |at| key(at) <= Some(byte));
        start..end
    }

    /// Calls `visit` with every next byte, in order, and its tokens.
    pub(crate) fn children(
        &self,
        range: Range<usize>,
        depth: usize,
        mut visit: impl FnMut(u8, Range<usize>),
    ) {
        let mut start = range.start;
        while start < range.end {
            let Some(&byte) = self.token(start).get(depth) else {
                start += 1;
                continue;
            };
            let key = |at: usize| self.token(at).get(depth).copied();
            let end = partition(start..range.end, |at| key(at) <= Some(byte));
            visit(byte, start..end);
            start = end;
        }
    }

    /// The place of the longest token that `bytes` begin with.
    pub(crate) fn longest(&self, bytes: &[u8]) -> Option<usize> {
        let mut range = 0..self.len();
        let mut found = None;
        for (depth, &byte) in bytes.iter().enumerate() {
            range = self.child(range, depth, byte);
            if range.is_empty() {
                break;
            }
            let ending = self.ending(&range, depth + 1);
            if !ending.is_empty() {
                found = Some(ending.start);
            }
        }
        found
    }

    /// Mixes the vocabulary into a hash.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.len() as u64).to_le_bytes());
        for (at, id) in self.ids.iter().enumerate() {
            hasher.update(&id.to_le_bytes());
            hasher.update(&[self.token(at).len() as u8]);
            hasher.update(self.token(at));
        }
    }
}

/// The first place of a range where `is_before` no longer holds.
fn partition(range: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// How tokens spell their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// A character for each byte (GPT-2).
    ByteLevel,
    /// UTF-8, with U+2581 for a space and `<0xAB>` for a single byte
    /// (SentencePiece).
    Pieces,
}

impl Spelling {
    fn of(tokenizer: &Value) -> Result<Spelling> {
        let parts = ["decoder", "pre_tokenizer"].map(|part| tokenizer.get(part));
        let text: String = parts
            .iter()
            .flatten()
            .map(|part| part.to_string())
            .collect();
        if text.contains("\"ByteLevel\"") {
            Ok(Spelling::ByteLevel)
        } else if text.contains("\"ByteFallback\"") {
            Ok(Spelling::Pieces)
        } else {
            Err(Error::unsupported(
                "a tokenizer that is neither of bytes nor falls back to them",
            ))
        }
    }

    /// The bytes of a token; `None` if it has none.
    fn bytes(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Spelling::ByteLevel => text.chars().map(byte_of).collect(),
            Spelling::Pieces => {
                let hex = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
                if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    return Some(vec![byte]);
                }
                Some(text.replace('\u{2581}', " ").into_bytes())
            }
        }
    }
}

/// The byte of a character of GPT-2's alphabet: printable ones are themselves,
/// the others follow one another from U+0100.
fn byte_of(character: char) -> Option<u8> {
    let is_itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let code = u32::from(character);
    match u8::try_from(code) {
        Ok(byte) => is_itself(byte).then_some(byte),
        Err(_) => (0..=255u8)
            .filter(|&byte| !is_itself(byte))
            .nth(code as usize - 256),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(tokens: &[&[u8]]) -> Vocabulary {
        let tokens = tokens.iter().zip(0..).map(|(t, id)| (t.to_vec(), id));
        Vocabulary::new(tokens).unwrap()
    }

    #[test]
    fn a_sorted_vocabulary_is_a_trie() {
        let v = vocabulary(&[b"b", b"ab", b"a", b"abc", b"abd", b"a", b"\xff"]);
        assert_eq!(v.len(), 7);
        let a = v.first(b'a');
        assert_eq!(a, 0..5);
        assert_eq!(v.ending(&a, 1), 0..2);
        let ab = v.child(2..5, 1, b'b');
        assert_eq!(v.ending(&ab, 2), 2..3);
        let mut found = Vec::new();
        v.children(ab, 2, |byte, range| found.push((byte, range)));
        assert_eq!(found, [(b'c', 3..4), (b'd', 4..5)]);
        assert!(v.first(b'x').is_empty());
        assert_eq!(v.longest(b"abx").map(|at| v.token(at)), Some(&b"ab"[..]));
        assert_eq!(v.longest(b"x"), None);
    }

    #[test]
    fn both_spellings_are_read() {
        let json = |decoder: &str, tokens: &str| {
            format!(
                r#"{{"decoder": {{"type": "{decoder}"}}, "model": {{"vocab": {{{tokens}}}}},
                "added_tokens": [{{"id": 0, "content": "<s>", "special": true}},
                {{"id": 9, "content": "  ", "special": false}}]}}"#
            )
        };
        let bytes = json(
            "ByteLevel",
            r#""Ġthe": 1, "Ċ": 2, "é": 3, "<s>": 0, "x": 99"#,
        );
        let v = Vocabulary::parse(bytes.as_bytes(), 50).unwrap();
        let all: Vec<&[u8]> = (0..v.len()).map(|at| v.token(at)).collect();
        assert_eq!(all, [&b"\n"[..], b"  ", b" the", b"\xe9"]);
        assert_eq!(v.ids(), [2, 9, 1, 3]);
        let pieces = json("ByteFallback", r#""▁the": 1, "<0x0A>": 2, "é": 3"#);
        let v = Vocabulary::parse(pieces.as_bytes(), 50).unwrap();
        assert_eq!((v.token(0), v.token(2)), (&b"\n"[..], &b" the"[..]));
        assert_eq!(v.token(3), "é".as_bytes());
        for (json, model_tokens) in [
            ("{}", 9),
            ("[", 9),
            (&json("WordPiece", "")[..], 9),
            (&bytes, 0),
        ] {
            assert!(Vocabulary::parse(json.as_bytes(), model_tokens).is_err());
        }
    }

    #[test]
    fn every_byte_has_a_character() {
        let bytes: Vec<u8> = (0..400)
            .filter_map(|c| byte_of(char::from_u32(c)?))
            .collect();
        let mut sorted = bytes.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..=255).collect::<Vec<u8>>());
    }
}
