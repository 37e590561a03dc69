//! Where contexts are remembered: a hash table of cache lines.
//!
//! A context is looked up twice for each byte, once for each half of it; what
//! it knows of a half fits a [`Slot`]. Three slots and their checks share a
//! line of 64 bytes, so that a look-up costs one cache miss however it ends.
//! The line of a byte's second half lies near that of its first: in the same
//! page.

use super::state::STATES;
use rcodec_core::{Budget, Reservation, Result};

/// What a context knows about one half of a byte: bit histories, of the first
/// bit at 1, of the second at 2 and 3 (after 0 and 1), and so on. Number 0 is
/// not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub(crate) struct Slot(pub(crate) [u8; 16]);

const SLOTS: usize = 3;

#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line {
    slots: [Slot; SLOTS],
    checks: [u16; SLOTS],
}

/// Bytes of a line.
pub(crate) const LINE_BYTES: u64 = 64;

/// Where a slot is: line and number of the slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    line: u32,
    slot: u32,
}

/// The hash table.
pub(crate) struct Table {
    lines: Vec<Line>,
    mask: usize,
    _reservation: Reservation,
}

impl Table {
    /// A table of `2^bits` empty lines, charged to the budget.
    pub(crate) fn new(bits: u32, budget: &Budget) -> Result<Self> {
        let (lines, reservation) = budget.filled(Line::default(), 1 << bits)?;
        Ok(Table {
            mask: lines.len() - 1,
            lines,
            _reservation: reservation,
        })
    }

    /// Asks the cache for a line that will be wanted soon: an ordinary load,
    /// whose result is to be combined with others and thrown away.
    #[inline(always)]
    pub(crate) fn touch(&self, line: u32) -> u16 {
        self.lines[line as usize & self.mask].checks[0]
    }

    /// The slot of a context and its place; if it is new, or was forgotten,
    /// the least informed slot of the line is given to it.
    #[inline(always)]
    pub(crate) fn claim(&mut self, line: u32, check: u16) -> (Place, Slot) {
        let line = line as usize & self.mask;
        let found = &mut self.lines[line];
        let place = |slot: usize| Place {
            line: line as u32,
            slot: slot as u32,
        };
        for slot in 0..SLOTS {
            if found.checks[slot] == check {
                return (place(slot), found.slots[slot]);
            }
        }
        let informed = |slot: usize| STATES.total[usize::from(found.slots[slot].0[1])];
        let mut least = 0;
        for slot in 1..SLOTS {
            if informed(slot) < informed(least) {
                least = slot;
            }
        }
        found.checks[least] = check;
        found.slots[least] = Slot::default();
        (place(least), Slot::default())
    }

    /// Puts a slot back where it was.
    #[inline(always)]
    pub(crate) fn store(&mut self, place: Place, slot: Slot) {
        self.lines[place.line as usize & self.mask].slots[place.slot as usize % SLOTS] = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(size_of::<Line>() as u64, LINE_BYTES);
    }

    #[test]
    fn slots_are_found_again_and_the_least_informed_goes() {
        let mut table = Table::new(4, &Budget::new(Limits::default())).unwrap();
        for check in 1..=3u16 {
            let (place, mut slot) = table.claim(7, check);
            assert_eq!(slot, Slot::default());
            for _ in 0..10 - check {
                let state = &mut slot.0[1];
                *state = STATES.next[usize::from(*state)][1];
            }
            table.store(place, slot);
        }
        assert_eq!(table.claim(7, 4).1, Slot::default());
        assert_eq!(table.claim(7, 3).1, Slot::default());
        for check in 1..=2 {
            assert_ne!(table.claim(7, check).1, Slot::default());
        }
    }
}
