//! The match model: where the last bytes stood before, what came next?

use rcodec_core::{Budget, Reservation, Result};
use rcodec_entropy::logistic::stretch;
use rcodec_entropy::{BitModel, CountedBit};
use rcodec_fixed::prefetch;

/// The longest match that is told apart from longer ones.
const MAX_LENGTH: u32 = 65_535;
/// How far back a candidate is compared.
const MAX_CHECKED: usize = 48;
/// Classes of match lengths.
pub(crate) const LENGTH_CLASSES: usize = 32;

/// Follows the most recent place where the last `min_length` bytes stood.
pub(crate) struct MatchModel {
    /// Position after the last occurrence, by hash; 0 for none.
    heads: Vec<u32>,
    shift: u32,
    min_length: usize,
    /// Index in `heads` of the string that ends here.
    head: usize,
    /// Where the predicted byte stands, and how long the match is (0: none).
    position: usize,
    length: u32,
    class: usize,
    /// The predicted byte and a leading one, while its bits come true.
    expected: Option<u32>,
    /// How often predictions of a length class come true.
    trust: [CountedBit<1023>; LENGTH_CLASSES],
    _reservation: Reservation,
}

impl MatchModel {
    pub(crate) fn new(min_length: usize, bits: u32, budget: &Budget) -> Result<Self> {
        let (heads, reservation) = budget.filled(0u32, 1 << bits)?;
        let mut trust = [CountedBit::default(); LENGTH_CLASSES];
        for (class, trust) in trust.iter_mut().enumerate() {
            *trust = CountedBit::with_p1_q16(65536 - (1 << 14) / (class as u32 + 1), 4);
        }
        Ok(MatchModel {
            heads,
            shift: 64 - bits,
            min_length,
            head: 0,
            position: 0,
            length: 0,
            class: 0,
            expected: None,
            trust,
            _reservation: reservation,
        })
    }

    /// Forgets all positions, but not what matches are worth.
    pub(crate) fn forget(&mut self) {
        self.heads.fill(0);
        self.position = 0;
        self.length = 0;
        self.class = 0;
        self.expected = None;
    }

    /// How often predictions of each class of lengths come true.
    pub(crate) fn trust_mut(&mut self) -> &mut [CountedBit<1023>; LENGTH_CLASSES] {
        &mut self.trust
    }

    /// Finds where the string that ends here was noted last, and asks the
    /// cache for it; `last16` are the last bytes, the last one lowest.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, last16: u128) {
        let key = last16 & (u128::MAX >> (128 - 8 * self.min_length));
        let mixed = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ ((key >> 64) as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.head = (mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> self.shift) as usize;
        prefetch(&self.heads[self.head]);
    }

    /// Takes note of the last byte of `history` and looks for what it is part
    /// of, after [`prepare`](Self::prepare).
    pub(crate) fn advance(&mut self, history: &[u8]) {
        let end = history.len();
        let Some(&last) = history.last() else {
            return;
        };
        if self.length > 0 && history[self.position] == last {
            self.length = (self.length + 1).min(MAX_LENGTH);
            self.position += 1;
        } else {
            self.length = 0;
        }
        if end < self.min_length {
            self.expected = None;
            self.class = 0;
            return;
        }
        let head = &mut self.heads[self.head];
        if self.length == 0 {
            let candidate = *head as usize;
            let common = common_suffix(history, candidate);
            if common >= self.min_length {
                self.length = common as u32;
                self.position = candidate;
            }
        }
        *head = end as u32;
        self.class = class_of(self.length);
        self.expected = (self.length > 0).then(|| u32::from(history[self.position]) | 256);
    }

    /// Class of the match's length: 0 for none, else 1 to
    /// [`LENGTH_CLASSES`]` - 1`.
    #[inline(always)]
    pub(crate) fn class(&self) -> usize {
        self.class
    }

    /// The predicted byte, while there is a match and its bits come true.
    #[inline(always)]
    pub(crate) fn expected_byte(&self) -> Option<u8> {
        self.expected.map(|byte| byte as u8)
    }

    /// The bit predicted after the bits of `partial` (a leading one and the
    /// bits of the byte so far), if any.
    #[inline(always)]
    fn expected_bit(&self, partial: u32, bits_known: u32) -> Option<bool> {
        let expected = self.expected?;
        (expected >> (8 - bits_known) == partial).then(|| expected >> (7 - bits_known) & 1 != 0)
    }

    /// Two inputs for the mixer, and the class of the match that they come
    /// from (0 for none).
    #[inline(always)]
    pub(crate) fn predict(&self, partial: u32, bits_known: u32) -> ([i32; 2], usize) {
        let Some(bit) = self.expected_bit(partial, bits_known) else {
            return ([0; 2], 0);
        };
        let class = self.class % LENGTH_CLASSES;
        let p_q16 = self.trust[class].p1_q16();
        let sign = 2 * i32::from(bit) - 1;
        let x_q8 = [stretch(p_q16), (p_q16 as i32 - 32768) >> 5];
        (x_q8.map(|x| sign * x), class)
    }

    /// Learns the bit that came.
    #[inline(always)]
    pub(crate) fn update(&mut self, partial: u32, bits_known: u32, bit: bool) {
        if let Some(expected) = self.expected_bit(partial, bits_known) {
            self.trust[self.class % LENGTH_CLASSES].update(expected == bit);
            if expected != bit {
                self.length = 0;
                self.class = 0;
                self.expected = None;
            }
        }
    }
}

/// Class of a match's length.
fn class_of(length: u32) -> usize {
    let class = match length {
        0..=15 => length,
        16..=31 => 16 + (length - 16) / 4,
        32..=63 => 20 + (length - 32) / 8,
        _ => 24 + (length.ilog2() - 6).min(7),
    };
    class as usize
}

/// How many bytes before `position` equal the last bytes of `history`.
fn common_suffix(history: &[u8], position: usize) -> usize {
    let before = &history[..position];
    let pairs = before.iter().rev().zip(history.iter().rev());
    pairs.take(MAX_CHECKED).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;

    #[test]
    fn sixteen_bytes_are_a_match() {
        let mut model = MatchModel::new(16, 10, &Budget::new(Limits::default())).unwrap();
        let content = b"0123456789abcdefXYZ0123456789abcdef";
        for end in 1..=content.len() {
            let last16 = content[..end]
                .iter()
                .fold(0, |all, &b| all << 8 | u128::from(b));
            model.prepare(last16);
            model.advance(&content[..end]);
            let expected = (end == content.len()).then_some(b'X');
            assert_eq!(model.expected_byte(), expected, "{end}");
        }
    }

    #[test]
    fn what_came_next_is_predicted() {
        let mut model = MatchModel::new(4, 10, &Budget::new(Limits::default())).unwrap();
        let content = b"one two three, one two three";
        for end in 1..=content.len() {
            let last16 = content[..end]
                .iter()
                .fold(0, |all, &b| all << 8 | u128::from(b));
            model.prepare(last16);
            model.advance(&content[..end]);
            if (19..28).contains(&end) {
                assert_eq!(model.expected_byte(), Some(content[end - 15]), "{end}");
            }
        }
        let ([sure, _], class) = model.predict(1, 0);
        assert!(class > 4);
        // A comma begins with a zero.
        assert!(sure < -500, "{sure}");
        model.update(1, 0, true);
        assert_eq!(model.predict(3, 1).1, 0);
    }
}
