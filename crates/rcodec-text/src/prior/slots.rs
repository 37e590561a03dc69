//! The slots of a prior, packed: lines in order, so that only the check of a
//! slot is stored, and bit histories foretold by those that lead to them.

use super::numbers::{cdf_of, read_cdf, write_cdf};
use crate::cm::state::STATES;
use crate::cm::table::{Line, PRIOR_BITS, PRIOR_CHECKS, PriorTable, SLOTS, Slot};
use rayon::prelude::*;
use rcodec_core::{Budget, Cursor, Reservation, Result, write_varint};
use rcodec_entropy::{AnsDecoder, AnsEncoder, BitCoder, Cdf};

/// Parts of the table that are coded by themselves, to be decoded side by
/// side.
const PARTS: usize = 8;
const PART_LINES: usize = (1 << PRIOR_BITS) / PARTS;
const CHECK_BITS: u32 = PRIOR_CHECKS.ilog2();

/// Tables: by how often the bit that leads to a history was seen, and whether
/// the other was; one for the first history of a slot.
const MAX_SEEN: usize = 12;
const TABLES: usize = 2 * MAX_SEEN + 1;
const FIRST_TABLE: usize = 2 * MAX_SEEN;

/// A slot, where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) check: u16,
    pub(super) slot: Slot,
}

/// The table for a history whose parent in the slot is `parent`; `None` if
/// nothing can be there.
#[inline(always)]
fn table_of(parent: u8, bit: usize) -> Option<usize> {
    let counts = STATES.counts[usize::from(parent)];
    let seen = usize::from(counts[bit]);
    if seen == 0 {
        return None;
    }
    let mixed = usize::from(counts[1 - bit] > 0);
    Some(mixed * MAX_SEEN + (seen - 1).min(MAX_SEEN - 1))
}

/// Calls `visit` for every history of a slot that can be other than 0, with
/// the table that foretells it, and puts in its place what `visit` returns.
#[inline(always)]
fn walk(slot: &mut Slot, mut visit: impl FnMut(u8, usize) -> Result<u8>) -> Result<()> {
    slot.0[1] = visit(slot.0[1], FIRST_TABLE)?;
    for node in 2..16 {
        slot.0[node] = match table_of(slot.0[node >> 1], node & 1) {
            Some(table) => visit(slot.0[node], table)?,
            None => 0,
        };
    }
    Ok(())
}

/// Packs slots: at most [`SLOTS`] of a line, in ascending order of lines.
///
/// # Errors
/// None for such slots.
pub(super) fn pack(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut frequencies = vec![vec![0u32; STATES.count]; TABLES];
    for entry in entries {
        walk(&mut entry.slot.clone(), |state, table| {
            frequencies[table][usize::from(state)] += 1;
            Ok(state)
        })?;
    }
    let tables: Vec<Cdf> = frequencies
        .iter()
        .map(|frequencies| cdf_of(frequencies))
        .collect::<Result<_>>()?;
    let by_line: Vec<&[Entry]> = entries.chunk_by(|a, b| a.line == b.line).collect();
    let mut counts = [0u32; SLOTS + 1];
    for line in &by_line {
        counts[line.len()] += 1;
    }
    counts[0] = (1 << PRIOR_BITS) - by_line.len() as u32;
    let count_table = cdf_of(&counts)?;
    let mut packed = Vec::new();
    write_cdf(&mut packed, &count_table);
    tables
        .iter()
        .for_each(|table| write_cdf(&mut packed, table));
    let mut rest = &by_line[..];
    for part in 0..PARTS {
        let mut coder = AnsEncoder::new();
        for line in part * PART_LINES..(part + 1) * PART_LINES {
            let here = rest.first().filter(|here| here[0].line == line);
            coder.code_cdf(here.map_or(0, |here| here.len() as u32), &count_table)?;
            let Some(here) = here else {
                continue;
            };
            rest = &rest[1..];
            for entry in *here {
                coder.code_raw(u32::from(entry.check), CHECK_BITS)?;
                walk(&mut entry.slot.clone(), |state, table| {
                    Ok(coder.code_cdf(u32::from(state), &tables[table])? as u8)
                })?;
            }
        }
        let coded = coder.finish();
        write_varint(&mut packed, coded.len() as u64);
        packed.extend_from_slice(&coded);
    }
    Ok(packed)
}

/// Unpacks what [`pack`] packed.
///
/// # Errors
/// For packed bytes that no trainer wrote, and for memory.
pub(super) fn unpack(packed: &[u8], budget: &Budget) -> Result<(PriorTable, Reservation)> {
    let mut cursor = Cursor::new(packed, 0);
    let count_table = read_cdf(&mut cursor, SLOTS + 1)?;
    let tables: Vec<Cdf> = (0..TABLES)
        .map(|_| read_cdf(&mut cursor, STATES.count))
        .collect::<Result<_>>()?;
    let mut parts = Vec::new();
    for _ in 0..PARTS {
        let len = cursor.varint()?;
        parts.push((cursor.at(), cursor.take(len)?));
    }
    cursor.expect_end("bytes after the slots of a prior")?;
    let (mut table, reservation) = PriorTable::new(budget)?;
    let lines: Vec<&mut [Line]> = table.parts_mut(PARTS).collect();
    parts
        .into_par_iter()
        .zip(lines)
        .try_for_each(|((at, coded), lines)| {
            unpack_part(coded, lines, &count_table, &tables).map_err(|e| e.offset_by(at))
        })?;
    Ok((table, reservation))
}

fn unpack_part(coded: &[u8], lines: &mut [Line], counts: &Cdf, tables: &[Cdf]) -> Result<()> {
    let mut coder = AnsDecoder::new(coded)?;
    for line in lines {
        for i in 0..coder.code_cdf(0, counts)? as usize {
            let check = coder.code_raw(0, CHECK_BITS)? as u16;
            let mut slot = Slot::default();
            walk(&mut slot, |_, table| {
                Ok(coder.code_cdf(0, &tables[table])? as u8)
            })?;
            line.set_prior(i, check, slot);
        }
    }
    coder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;

    /// A slot that has seen some halves of bytes.
    fn slot(seed: u32) -> Slot {
        let mut slot = Slot::default();
        for i in 0..3 {
            let mut node = 1;
            for bit in 0..4 {
                let bit = (seed.wrapping_mul(0x9e37_79b1) >> (4 * i + bit)) & 1;
                let state = slot.0[node];
                slot.0[node] = STATES.next[usize::from(state)][bit as usize];
                node = node << 1 | bit as usize;
            }
        }
        slot
    }

    #[test]
    fn slots_come_back() {
        let mut entries = Vec::new();
        for i in 0..5000u32 {
            let line = i as usize * 50;
            for j in 0..1 + i % 3 {
                let check = (i.wrapping_mul(77) + j) % PRIOR_CHECKS;
                entries.push(Entry {
                    line,
                    check: check as u16,
                    slot: slot(3 * i + j),
                });
            }
        }
        let packed = pack(&entries).unwrap();
        let budget = Budget::new(Limits::default());
        let (table, _reservation) = unpack(&packed, &budget).unwrap();
        for entry in &entries {
            let found = table.find((entry.line, entry.check)).unwrap();
            assert_eq!(found.0[1..], entry.slot.0[1..]);
        }
        assert_eq!(table.find((1, 0)), None);
        for end in [0, 100, packed.len() - 1] {
            assert!(unpack(&packed[..end], &budget).is_err());
        }
        for at in (0..packed.len()).step_by(97) {
            let mut damaged = packed.clone();
            damaged[at] ^= 16;
            let _ = unpack(&damaged, &budget);
        }
    }
}
