//! What followed the same surroundings before: the last symbols seen in every
//! hashed context, and the longest repetition.

use super::surroundings::{CONTEXTS, Near, SymbolField};

/// States of a context with respect to a symbol.
pub(crate) const STATES: usize = 24;

/// One context's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    /// Lower half of the hash, odd; 0 means that nothing is stored.
    check: u16,
    /// How many times in a row the last symbol came again.
    hits: u16,
    pub(crate) last: u32,
    pub(crate) older: u32,
}

impl Slot {
    /// Whether it holds anything.
    #[inline(always)]
    pub(crate) fn known(&self) -> bool {
        self.check != 0
    }

    #[inline(always)]
    fn level(&self) -> usize {
        match self.hits {
            0..=3 => usize::from(self.hits),
            4..=5 => 4,
            6..=9 => 5,
            10..=20 => 6,
            21..=60 => 7,
            _ => 8,
        }
    }

    /// What it says of a symbol, below [`STATES`]: 0 is nothing.
    #[inline(always)]
    pub(crate) fn state(&self, symbol: u32) -> usize {
        if !self.known() {
            0
        } else if symbol == self.last {
            1 + self.level()
        } else if symbol == self.older {
            10 + self.level().min(3)
        } else {
            14 + self.level()
        }
    }

    /// The state of a symbol that it does not hold.
    #[inline(always)]
    pub(crate) fn state_of_others(&self) -> usize {
        14 + self.level()
    }

    #[inline(always)]
    fn learn(&mut self, symbol: u32) {
        if symbol == self.last {
            self.hits = (self.hits + 1).min(255);
        } else {
            self.older = self.last;
            self.last = symbol;
            self.hits = 0;
        }
    }
}

/// The memories of all contexts.
pub(crate) struct Recall {
    bits: u32,
    slots: Vec<Slot>,
    places: [usize; CONTEXTS],
    checks: [u16; CONTEXTS],
    /// The slots of the present contexts.
    pub(crate) found: [Slot; CONTEXTS],
}

impl Recall {
    pub(crate) fn new(bits: u32) -> Self {
        Recall {
            bits,
            slots: vec![Slot::default(); CONTEXTS << bits],
            places: [0; CONTEXTS],
            checks: [0; CONTEXTS],
            found: [Slot::default(); CONTEXTS],
        }
    }

    /// Looks all contexts up.
    #[inline(always)]
    pub(crate) fn find(&mut self, hashes: &[u32; CONTEXTS]) {
        for (k, &hash) in hashes.iter().enumerate() {
            let place = k << self.bits | (hash >> (32 - self.bits)) as usize;
            let check = hash as u16 | 1;
            self.places[k] = place;
            self.checks[k] = check;
            let slot = self.slots[place];
            self.found[k] = if slot.check == check {
                slot
            } else {
                Slot::default()
            };
        }
    }

    /// Learns the symbol that came.
    #[inline(always)]
    pub(crate) fn learn(&mut self, symbol: u32) {
        for (&place, &check) in self.places.iter().zip(&self.checks) {
            let slot = &mut self.slots[place];
            if slot.check == check {
                slot.learn(symbol);
            } else {
                *slot = Slot {
                    check,
                    hits: 0,
                    last: symbol,
                    older: symbol,
                };
            }
        }
    }
}

/// Follows the last place with the same surroundings.
pub(crate) struct Match {
    places: Vec<u32>,
    bits: u32,
    /// Where the repeated symbol stands; 0 if there is none.
    pointer: usize,
    length: u32,
    /// How many of the nearest agree.
    agreement: usize,
    entry: usize,
}

impl Match {
    pub(crate) fn new(bits: u32) -> Self {
        Match {
            places: vec![0; 1 << bits],
            bits,
            pointer: 0,
            length: 0,
            agreement: 0,
            entry: 0,
        }
    }

    /// Finds what is repeated at position `at`, if anything.
    #[inline(always)]
    pub(crate) fn find(
        &mut self,
        field: &SymbolField,
        at: usize,
        near: &Near,
        longest: u32,
        reference: Option<usize>,
    ) -> Option<u32> {
        let hash = field.far_hash(at, longest);
        self.entry = (hash >> (32 - self.bits)) as usize;
        if self.length < 8 {
            let stored = self.places[self.entry] as usize;
            if stored != 0 {
                self.consider(field, at, near, stored);
            }
            if let Some(place) = reference {
                self.consider(field, at, near, place);
            }
        }
        if self.pointer == 0 {
            return None;
        }
        self.agreement = field.agreement(at, self.pointer, near);
        (self.agreement > 12).then(|| field.symbols[self.pointer])
    }

    /// Goes on from another place if as much agrees there.
    #[inline(always)]
    fn consider(&mut self, field: &SymbolField, at: usize, near: &Near, place: usize) {
        let agreement = field.agreement(at, place, near);
        if self.pointer == 0 || agreement >= self.agreement {
            if place != self.pointer {
                self.length = 0;
            }
            self.pointer = place;
        }
    }

    /// How sure it is, below 32.
    #[inline(always)]
    pub(crate) fn confidence(&self) -> usize {
        let agreement = (self.agreement.max(13) - 13) / 2; // 0..=6
        let length = match self.length {
            0 => 0,
            1..=3 => 1,
            4..=15 => 2,
            _ => 3,
        };
        length << 3 | agreement.min(7)
    }

    /// Moves on behind the symbol at `at`.
    #[inline(always)]
    pub(crate) fn learn(&mut self, at: usize, symbol: u32, predicted: Option<u32>) {
        self.places[self.entry] = at as u32;
        if self.pointer != 0 {
            if predicted == Some(symbol) {
                self.length += 1;
            } else {
                self.length = 0;
            }
            self.pointer += 1;
            if predicted.is_none() && self.agreement < 6 {
                self.pointer = 0;
            }
        }
    }

    /// Forgets the present repetition.
    pub(crate) fn stop(&mut self) {
        self.pointer = 0;
        self.length = 0;
    }
}
