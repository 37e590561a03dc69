//! Priors: what a model knows before the first byte (sections 14 and 15).

use std::collections::HashMap;

use super::histories::Histories;
use super::model::{Model, ORDER0_RATE};
use super::slots::Slot;
use crate::bytes::Bytes;
use crate::coding::{AdaptiveBit, AnsDecoder, Cdf, Coder, CountedBit, Mixer, squash, stretch};
use crate::error::{Result, malformed};
use crate::model_file::ModelFile;

/// A prior's file.
pub(super) struct Prior {
    slots: PriorSlots,
    /// Tensors `weights.N`.
    weights: HashMap<String, Vec<u8>>,
}

/// What a prior knows of contexts.
pub(super) struct PriorSlots {
    lines: Vec<Vec<(u32, [u8; 16])>>,
}

impl PriorSlots {
    /// What it knows of a context with this hash, when these bits are known.
    pub(super) fn find(&self, h: u32, partial: u32) -> Option<Slot> {
        let m = h.wrapping_mul(0x85EB_CA6B);
        let m = (m ^ m >> 15).wrapping_mul(0xC2B2_AE35);
        let line = &self.lines[((m >> 14) ^ (partial >> 1 & 15)) as usize];
        let check = m.wrapping_add(partial.wrapping_mul(0x9E5B)) % 4096;
        let &(_, nodes) = line.iter().find(|slot| slot.0 == check)?;
        Some(Slot {
            nodes,
            origin: 1,
            run: 0,
            half: 0,
        })
    }

    fn read(content: &[u8]) -> Result<PriorSlots> {
        let histories = Histories::new();
        let mut bytes = Bytes(content);
        let counts = table(&mut bytes, 4)?;
        let states = (0..25)
            .map(|_| table(&mut bytes, histories.len()))
            .collect::<Result<Vec<_>>>()?;
        let mut lines = Vec::new();
        for _ in 0..8 {
            let mut coder = string(&mut bytes)?;
            for _ in 0..1 << 15 {
                let mut line = Vec::new();
                for _ in 0..coder.symbol(&counts)? {
                    let check = coder.raw(12)? as u32;
                    let mut nodes = [0u8; 16];
                    nodes[1] = coder.symbol(&states[24])? as u8;
                    for n in 2..16 {
                        let bit = n % 2 == 1;
                        let a = histories.count(nodes[n / 2], bit) as usize;
                        let o = histories.count(nodes[n / 2], !bit);
                        if a > 0 {
                            let table = a.min(12) - 1 + if o > 0 { 12 } else { 0 };
                            nodes[n] = coder.symbol(&states[table])? as u8;
                        }
                    }
                    line.push((check, nodes));
                }
                lines.push(line);
            }
            coder.finish()?;
        }
        bytes.finish()?;
        Ok(PriorSlots { lines })
    }
}

/// A table of `n` symbols as `varint` probabilities.
fn table(bytes: &mut Bytes<'_>, n: usize) -> Result<Cdf> {
    let mut sums = vec![0];
    for i in 0..n {
        sums.push(sums[i] + bytes.varint_within(1, 65536)? as u32);
    }
    Cdf::from_sums(sums)
}

/// A string of the ANS coder, with its length before it.
fn string<'a>(bytes: &mut Bytes<'a>) -> Result<AnsDecoder<'a>> {
    let length = bytes.varint()?;
    AnsDecoder::new(bytes.take(length)?)
}

/// A list of `n` numbers.
fn list(bytes: &mut Bytes<'_>, n: usize) -> Result<Vec<i32>> {
    let table = table(bytes, 256)?;
    let mut coder = string(bytes)?;
    let mut numbers = Vec::with_capacity(n);
    for _ in 0..n {
        numbers.push(match coder.symbol(&table)? as i32 {
            0 => coder.raw(18)? as i32 - (1 << 17),
            s => s - 128,
        });
    }
    coder.finish()?;
    Ok(numbers)
}

/// A probability after a distance.
fn moved(guess: u32, distance: i32) -> u32 {
    match distance {
        0 => guess,
        d => squash(stretch(guess) + 16 * d.clamp(-2000, 2000)),
    }
}

/// The number that a count stands for.
fn count(c: i32) -> u32 {
    ((1 << c.clamp(0, 10)) - 1).min(255)
}

fn whole(v: i32) -> i16 {
    (64 * v.clamp(-65536, 65536)).clamp(-32768, 32767) as i16
}

impl Prior {
    pub(super) fn read(file: &ModelFile) -> Result<Prior> {
        if file.family != "text" || file.has_graphs {
            return malformed("this model is no prior of text");
        }
        let mut slots = None;
        let mut weights = HashMap::new();
        for (name, content) in &file.packed {
            match name.as_str() {
                "slots" => slots = Some(PriorSlots::read(content)?),
                // It helps to choose a prior, and nothing else.
                "signature" => {}
                name if is_weights(name) => {
                    weights.insert(name.to_owned(), content.clone());
                }
                _ => return malformed("a prior with other tensors"),
            }
        }
        let Some(slots) = slots else {
            return malformed("a prior without slots");
        };
        Ok(Prior { slots, weights })
    }

    pub(super) fn into_slots(self) -> PriorSlots {
        self.slots
    }

    /// Gives the model what one of its class had learned, if the file has it.
    pub(super) fn give_weights(&mut self, model: &mut Model) -> Result<()> {
        let class = model.class;
        let Some(content) = self.weights.get(class.weights) else {
            return Ok(());
        };
        let mut bytes = Bytes(content);

        // The counters of histories, runs and matches.
        let guesses: Vec<u32> = (0..model.histories.len())
            .map(|state| model.histories.guess(state as u8))
            .collect();
        let mut counters = Vec::new();
        for [new, old] in &mut model.states {
            for map in [new, old] {
                counters.extend(map.iter_mut().zip(guesses.iter().copied()));
            }
        }
        for runs in &mut model.runs {
            counters.extend(runs.iter_mut().map(|counter| (counter, 32768)));
        }
        for matches in &mut model.matches {
            counters.extend(matches.trust.iter_mut().map(|counter| (counter, 32768)));
        }
        let distances = list(&mut bytes, counters.len())?;
        let counts = list(&mut bytes, counters.len())?;
        for (((counter, guess), d), c) in counters.into_iter().zip(distances).zip(counts) {
            *counter = CountedBit::with_p1(moved(guess, d), count(c));
        }
        for (bit, d) in model.order0.iter_mut().zip(list(&mut bytes, 256)?) {
            *bit = AdaptiveBit::with_p1(ORDER0_RATE, moved(32768, d));
        }

        // The mixers: all of the first layer, two of the second.
        for mixer in &mut model.first {
            give_mixer(&mut bytes, mixer, class.prior_rates[0], class.rate.first)?;
        }
        for mixer in model.second.iter_mut().take(2) {
            give_mixer(
                &mut bytes,
                mixer,
                class.prior_rates[1],
                class.second_rate.first,
            )?;
        }

        // Maps.
        for kind in class.prior_maps {
            let Some(at) = class.maps.iter().position(|map| map.0 == *kind) else {
                continue;
            };
            let map = &mut model.maps[at];
            let per_row = class.points;
            let learned = list(&mut bytes, map.points.len() / per_row)?;
            let rows: Vec<usize> = (0..learned.len())
                .filter(|&row| learned[row] != 0)
                .collect();
            let distances = list(&mut bytes, rows.len() * per_row)?;
            let counts = list(&mut bytes, rows.len() * per_row)?;
            for (n, row) in rows.into_iter().enumerate() {
                for j in 0..per_row {
                    let guess = squash(j as i32 * class.step - class.middle);
                    map.points[row * per_row + j] = CountedBit::with_p1(
                        moved(guess, distances[n * per_row + j]),
                        count(counts[n * per_row + j]),
                    );
                }
            }
        }
        bytes.finish()
    }
}

/// Whether a tensor is `weights.N`, N being 0 to 255.
fn is_weights(name: &str) -> bool {
    let class = name
        .strip_prefix("weights.")
        .and_then(|n| n.parse::<u8>().ok());
    class.is_some_and(|n| name == format!("weights.{n}"))
}

/// Gives a mixer the weights that the prior has for its sets.
fn give_mixer(bytes: &mut Bytes<'_>, mixer: &mut Mixer, rate: i32, first_rate: i32) -> Result<()> {
    let inputs = mixer.inputs();
    let learned = list(bytes, mixer.sets())?;
    let means = list(bytes, inputs)?;
    let sets = learned.iter().filter(|&&set| set != 0).count();
    let differences = list(bytes, sets * inputs)?;
    if sets == 0 {
        return Ok(());
    }
    let mut differences = differences.chunks(inputs);
    for (set, &learned) in learned.iter().enumerate() {
        let none = vec![0; inputs];
        let (differences, rate) = match learned {
            0 => (&none[..], first_rate),
            _ => (differences.next().unwrap_or(&none), rate),
        };
        let weights: Vec<i16> = means
            .iter()
            .zip(differences)
            .map(|(m, d)| whole(m + d))
            .collect();
        mixer.give(set, &weights, rate);
    }
    Ok(())
}
