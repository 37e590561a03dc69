//! Match models (section 6).

use crate::coding::{CountedBit, stretch};

/// The limit of the counters.
pub(super) const LIMIT: u32 = 1023;

/// Foretells the byte that followed where the last bytes were the same.
pub(super) struct MatchModel {
    shortest: usize,
    heads: Vec<u32>,
    heads_log2: u32,
    length: usize,
    position: usize,
    /// A byte and 256.
    pub(super) expected: Option<u32>,
    pub(super) class: u32,
    pub(super) trust: Vec<CountedBit>,
}

impl MatchModel {
    pub(super) fn new(shortest: usize, heads_log2: u32) -> MatchModel {
        MatchModel {
            shortest,
            heads: vec![0; 1 << heads_log2],
            heads_log2,
            length: 0,
            position: 0,
            expected: None,
            class: 0,
            trust: (0..32)
                .map(|class| CountedBit::with_p1(65536 - 16384 / (class + 1), 4))
                .collect(),
        }
    }

    /// Goes on behind the last byte of the content `x`.
    pub(super) fn advance(&mut self, x: &[u8]) {
        let end = x.len();
        if self.length > 0 && x[self.position] == x[end - 1] {
            self.length = (self.length + 1).min(65535);
            self.position += 1;
        } else {
            self.length = 0;
        }
        if end < self.shortest {
            self.expected = None;
            self.class = 0;
            return;
        }
        let v = x[end - self.shortest..]
            .iter()
            .fold(0, |v, &b| v << 8 | u128::from(b));
        let m = (v as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ ((v >> 64) as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let i = (m.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> (64 - self.heads_log2)) as usize;
        let head = self.heads[i] as usize;
        if self.length == 0 {
            let most = head.min(48);
            let n = (1..=most).take_while(|j| x[head - j] == x[end - j]).count();
            if n >= self.shortest {
                self.length = n;
                self.position = head;
            }
        }
        self.heads[i] = end as u32;
        self.class = match self.length {
            n @ 0..=15 => n as u32,
            n @ 16..=31 => 16 + (n as u32 - 16) / 4,
            n @ 32..=63 => 20 + (n as u32 - 32) / 8,
            n => 24 + (n.ilog2() - 6).min(7),
        };
        self.expected = (self.length > 0).then(|| u32::from(x[self.position]) + 256);
    }

    /// The bit that it foretells, when `known` bits are known, those of `partial`.
    pub(super) fn foretold(&self, partial: u32, known: u32) -> Option<bool> {
        let expected = self.expected?;
        (expected >> (8 - known) == partial).then_some(expected >> (7 - known) & 1 == 1)
    }

    pub(super) fn inputs(&self, foretold: Option<bool>) -> [i32; 2] {
        let q = self.trust[self.class as usize].p1();
        let inputs = [stretch(q), (q as i32 - 32768) >> 5];
        match foretold {
            None => [0, 0],
            Some(true) => inputs,
            Some(false) => inputs.map(|x| -x),
        }
    }

    pub(super) fn learn(&mut self, foretold: Option<bool>, bit: bool) {
        let Some(foretold) = foretold else { return };
        self.trust[self.class as usize].learn(bit == foretold, LIMIT);
        if bit != foretold {
            self.length = 0;
            self.class = 0;
            self.expected = None;
        }
    }
}
