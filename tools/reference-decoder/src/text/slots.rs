//! Slots, and the table that keeps them (section 7).

use super::histories::Histories;
use super::prior::PriorSlots;

/// What a context knows of one half of a byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
    /// States; number 0 is not used.
    pub(super) nodes: [u8; 16],
    /// 1 if a prior gave it.
    pub(super) origin: u8,
    pub(super) run: u8,
    pub(super) half: u8,
}

#[derive(Clone, Copy, Default)]
struct Line {
    checks: [u16; 3],
    slots: [Slot; 3],
}

/// The slots of all contexts.
pub(super) struct Table {
    lines: Vec<Line>,
}

impl Table {
    pub(super) fn new(lines_log2: u32) -> Table {
        Table {
            lines: vec![Line::default(); 1 << lines_log2],
        }
    }

    /// The slot for a context's hash and the bits that are known: where it
    /// stands, and a copy of it.
    pub(super) fn look_up(
        &mut self,
        h: u32,
        partial: u32,
        histories: &Histories,
        prior: Option<&PriorSlots>,
    ) -> ((usize, usize), Slot) {
        let number = ((h.wrapping_mul(0x2C1B_3C6D) >> 8) ^ (partial >> 1 & 15)) as usize;
        let number = number % self.lines.len();
        let check = h.wrapping_add(partial.wrapping_mul(0x9E5B)) as u16 | 1;
        let line = &mut self.lines[number];
        if let Some(s) = line.checks.iter().position(|&c| c == check) {
            return ((number, s), line.slots[s]);
        }
        // `min_by_key` takes the first of several.
        let s = (0..3)
            .min_by_key(|&s| histories.total(line.slots[s].nodes[1]))
            .unwrap_or(0);
        line.checks[s] = check;
        line.slots[s] = Slot::default();
        (
            (number, s),
            prior
                .and_then(|prior| prior.find(h, partial))
                .unwrap_or_default(),
        )
    }

    pub(super) fn put_back(&mut self, (line, slot): (usize, usize), content: Slot) {
        self.lines[line].slots[slot] = content;
    }
}
