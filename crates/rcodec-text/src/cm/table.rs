//! Where contexts are remembered: a hash table of cache lines.
//!
//! A context is looked up twice for each byte, once for each half of it; what
//! it knows of a half fits a [`Slot`]. Three slots and their checks share a
//! line of 64 bytes, so that a look-up costs one cache miss however it ends.
//! The line of a byte's second half lies near that of its first: in the same
//! page.

use super::state::STATES;
use rcodec_core::{Budget, Error, Reservation, Result};
use rcodec_fixed::{prefer_large_pages, prefetch};

/// What a context knows about one half of a byte: bit histories, of the first
/// bit at 1, of the second at 2 and 3 (after 0 and 1), and so on. Number 0
/// says where the slot comes from ([`PRIOR`]: 1, else 0), and which half byte
/// came last, and how often in a row: bits 1 to 4 and 5 to 7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub(crate) struct Slot(pub(crate) [u8; 16]);

impl Slot {
    /// Index of a history's probability: its state, and where the slot comes
    /// from.
    #[inline(always)]
    pub(crate) fn map_index(&self, node: usize) -> usize {
        usize::from(self.0[0] & 1) << 8 | usize::from(self.0[node])
    }

    /// The bit after `node` if what came last comes again, and how often it
    /// did so; `None` if nothing came, or the bits before differ.
    #[inline(always)]
    pub(crate) fn run(&self, node: usize) -> Option<(bool, usize)> {
        let length = usize::from(self.0[0] >> 5);
        let last = usize::from(self.0[0] >> 1 & 15) | 16;
        let bits = node.ilog2();
        if length == 0 || last >> (4 - bits) != node {
            return None;
        }
        Some((last >> (3 - bits) & 1 != 0, length))
    }

    /// Takes note of the half byte that came.
    #[inline(always)]
    pub(crate) fn note_run(&mut self, half: u8) {
        let same = self.0[0] >> 1 & 15 == half;
        let length = if same { (self.0[0] >> 5) + 1 } else { 1 };
        self.0[0] = self.0[0] & 1 | half << 1 | length.min(7) << 5;
    }
}

/// Origin of a slot: it began with what the prior knows.
pub(crate) const PRIOR: u8 = 1;

/// Slots of a line.
pub(crate) const SLOTS: usize = 3;

#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Line {
    slots: [Slot; SLOTS],
    checks: [u16; SLOTS],
}

impl Line {
    /// Puts a slot of a prior into a line of a [`PriorTable`].
    #[inline(always)]
    pub(crate) fn set_prior(&mut self, slot: usize, check: u16, mut content: Slot) {
        content.0[0] = PRIOR;
        self.checks[slot % SLOTS] = check + 1;
        self.slots[slot % SLOTS] = content;
    }
}

/// `2^bits` empty lines, charged to the budget, in large pages where the system
/// has them: a tenth of the time goes into finding small ones.
fn empty_lines(bits: u32, budget: &Budget) -> Result<(Vec<Line>, Reservation)> {
    let reservation = budget.reserve(LINE_BYTES << bits)?;
    let count = 1 << bits;
    let mut lines: Vec<Line> = Vec::new();
    lines
        .try_reserve_exact(count)
        .map_err(|_| Error::Limit("memory"))?;
    prefer_large_pages(lines.spare_capacity_mut());
    lines.resize(count, Line::default());
    Ok((lines, reservation))
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
        let (lines, reservation) = empty_lines(bits, budget)?;
        Ok(Table {
            mask: lines.len() - 1,
            lines,
            _reservation: reservation,
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.lines.fill(Line::default());
    }

    /// Asks the cache for a line that will be wanted soon.
    #[inline(always)]
    pub(crate) fn touch(&self, line: u32) {
        prefetch(&self.lines[line as usize & self.mask]);
    }

    /// The slot of a context and its place; `None` if it is new, or was
    /// forgotten: then the least informed slot of the line is given to it.
    #[inline(always)]
    pub(crate) fn claim(&mut self, line: u32, check: u16) -> (Place, Option<Slot>) {
        let line = line as usize & self.mask;
        let found = &mut self.lines[line];
        let place = |slot: usize| Place {
            line: line as u32,
            slot: slot as u32,
        };
        let is_check = found.checks.map(|c| c == check);
        if is_check[0] | is_check[1] | is_check[2] {
            // Which one nobody can foretell: without a branch.
            let slot = usize::from(is_check[1]) + 2 * usize::from(is_check[2]);
            let slot = slot.min(SLOTS - 1);
            return (place(slot), Some(found.slots[slot]));
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
        (place(least), None)
    }

    /// Puts a slot back where it was.
    #[inline(always)]
    pub(crate) fn store(&mut self, place: Place, slot: Slot) {
        self.lines[place.line as usize & self.mask].slots[place.slot as usize % SLOTS] = slot;
    }
}

/// Lines of a [`PriorTable`], as a power of two.
pub(crate) const PRIOR_BITS: u32 = 18;
/// Values of a check in a [`PriorTable`].
pub(crate) const PRIOR_CHECKS: u32 = 1 << 12;

/// Line and check of a context's slot for one half of a byte in a
/// [`PriorTable`]. As in a [`Table`], two halves that differ in the last bit
/// share a line.
#[inline(always)]
pub(crate) fn prior_place(hash: u32, partial: u32) -> (usize, u16) {
    let mixed = hash.wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0xc2b2_ae35);
    let line = mixed >> (32 - PRIOR_BITS) ^ (partial >> 1 & 15);
    let check = mixed.wrapping_add(partial.wrapping_mul(0x9e5b)) % PRIOR_CHECKS;
    (line as usize, check as u16)
}

/// What is known of contexts before the first byte: filled once, then only
/// read.
pub(crate) struct PriorTable {
    lines: Vec<Line>,
}

impl PriorTable {
    /// Memory that it takes, in bytes.
    pub(crate) const BYTES: u64 = LINE_BYTES << PRIOR_BITS;

    /// An empty table, and what was charged for it.
    pub(crate) fn new(budget: &Budget) -> Result<(Self, Reservation)> {
        let (lines, reservation) = empty_lines(PRIOR_BITS, budget)?;
        Ok((PriorTable { lines }, reservation))
    }

    /// The lines in parts of equal size (`parts` is a power of two).
    pub(crate) fn parts_mut(&mut self, parts: usize) -> std::slice::ChunksExactMut<'_, Line> {
        self.lines.chunks_exact_mut((1 << PRIOR_BITS) / parts)
    }

    /// Asks the cache for a line, as [`Table::touch`] does.
    #[inline(always)]
    pub(crate) fn touch(&self, line: usize) {
        prefetch(&self.lines[line & ((1 << PRIOR_BITS) - 1)]);
    }

    /// What is known of a context.
    #[inline(always)]
    pub(crate) fn find(&self, (line, check): (usize, u16)) -> Option<Slot> {
        let line = &self.lines[line & ((1 << PRIOR_BITS) - 1)];
        let slot = line.checks.iter().position(|&c| c == check + 1)?;
        Some(line.slots[slot])
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
            let (place, slot) = table.claim(7, check);
            assert_eq!(slot, None);
            let mut slot = Slot::default();
            for _ in 0..10 - check {
                let state = &mut slot.0[1];
                *state = STATES.next[usize::from(*state)][1];
            }
            table.store(place, slot);
        }
        assert_eq!(table.claim(7, 4).1, None);
        assert_eq!(table.claim(7, 3).1, None);
        for check in 1..=2 {
            assert_ne!(table.claim(7, check).1, None);
        }
    }
}
