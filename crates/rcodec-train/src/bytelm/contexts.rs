//! What the network is shown before each byte: numbers of rows of its table.
//!
//! Rows cost no multiplication, so there are many: one for each of the last
//! bytes, and hashed ones for the word so far and the words before it. What
//! they say is added up.

/// The last bytes, each with rows of its own.
pub(super) const ORDERS: usize = 6;
/// The word so far and those before it, hashed.
pub(super) const WORDS: usize = 3;
/// Rows that are added up.
pub(super) const COUNT: usize = ORDERS + WORDS;

/// Reads bytes and says which rows are to be added up before the next.
#[derive(Clone, Debug)]
pub struct Contexts {
    words_bits: u32,
    last: [u8; ORDERS],
    words: [u32; WORDS],
}

impl Contexts {
    /// Before the first byte; hashed contexts have `2^words_bits` rows.
    pub fn new(words_bits: u32) -> Contexts {
        Contexts {
            words_bits,
            last: [0; ORDERS],
            words: [0; WORDS],
        }
    }

    /// Rows of the table in all.
    pub fn rows(words_bits: u32) -> usize {
        256 * ORDERS + (WORDS << words_bits)
    }

    /// The rows before the next byte.
    pub fn ids(&self) -> [u32; COUNT] {
        let first = 256 * ORDERS as u32;
        std::array::from_fn(|i| match i.checked_sub(ORDERS) {
            None => 256 * i as u32 + u32::from(self.last[i]),
            Some(i) => {
                let mixed = self.words[i].wrapping_mul(0x9e37_79b1);
                first + ((i as u32) << self.words_bits) + (mixed >> (32 - self.words_bits))
            }
        })
    }

    /// Takes note of a byte.
    pub fn advance(&mut self, byte: u8) {
        self.last.rotate_right(1);
        self.last[0] = byte;
        let folded = byte.to_ascii_lowercase();
        if folded.is_ascii_lowercase() || byte >= 128 {
            let hash = (self.words[0] ^ u32::from(folded)).wrapping_mul(0x2c1b_3c6d);
            self.words[0] = (hash ^ hash >> 15) | 1;
        } else if self.words[0] != 0 {
            self.words.rotate_right(1);
            self.words[0] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_without_case_and_separators() {
        let ids = |text: &[u8]| {
            let mut contexts = Contexts::new(12);
            text.iter().for_each(|&byte| contexts.advance(byte));
            contexts.ids()
        };
        let (a, b) = (ids(b"The  cat sa"), ids(b"the cat, sa"));
        assert_eq!(a[ORDERS..], b[ORDERS..]);
        assert_ne!(a[2], b[3]);
        assert_ne!(ids(b"a cat sa")[ORDERS + 2..], a[ORDERS + 2..]);
        let rows = Contexts::rows(12) as u32;
        assert!(a.iter().all(|&id| id < rows));
    }
}
