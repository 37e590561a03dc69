//! Colours seen before [6.9].

use super::super::common::{between, ln};
use super::contexts::Context;
use super::decisions::{FAR, Models, Question, Step};
use super::{Each, Mode};
use crate::coding::{Coder, CountedBit, Mixer, Rate, stretch};
use crate::error::Result;
use std::collections::HashMap;

/// What was seen of the channel blue.
pub(super) struct Seen {
    sets: HashMap<(i32, i32), Vec<bool>>,
    models: Models,
    flag: Mixer,
    a: Vec<CountedBit>,
    b: Vec<CountedBit>,
    c: Vec<CountedBit>,
    history: usize,
}

fn lo(a: i64, b: i64) -> i32 {
    ln(a.max(1) as u32) - ln(b.max(1) as u32)
}

impl Seen {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            sets: HashMap::new(),
            models: Models::new(mode),
            flag: Mixer::new(8, 32, 20000, Rate::falling(600, 60, 7)),
            a: vec![CountedBit::default(); 512],
            b: vec![CountedBit::default(); 2048],
            c: vec![CountedBit::default(); 2048],
            history: 0,
        }
    }

    pub(super) fn learn(&mut self, context: &Context, sample: i32) {
        let set = self.sets.entry(context.green_red);
        set.or_insert_with(|| vec![false; 256])[sample as usize] = true;
    }

    /// Gives a sample, or what the tree does not need to consider.
    pub(super) fn decode(&mut self, step: &mut Step<'_, '_>) -> Result<(Option<i32>, Vec<i32>)> {
        let Some(set) = self.sets.get(&step.context.green_red) else {
            return Ok((None, Vec::new()));
        };
        let said = step.said;
        let reach = (4 + ((9 << (said.scale / 4).min(12)) >> 6)).min(32);
        let list: Vec<i32> = (said.centre - reach..said.centre + reach)
            .filter(|&v| (0..256).contains(&v) && set[v as usize])
            .collect();
        if list.is_empty() {
            return Ok((None, Vec::new()));
        }
        let masses: Vec<Each<i64>> = list
            .iter()
            .map(|&v| {
                let (low, high) = (said.tails(v), said.tails(v + 1));
                std::array::from_fn(|e| i64::from(between(low[e], high[e])))
            })
            .collect();
        if !self.hit(step, &masses)? {
            return Ok((None, list));
        }
        Ok((Some(self.choose(step, &list, &masses)?), Vec::new()))
    }

    /// Whether the sample is one of the list.
    fn hit(&mut self, step: &mut Step<'_, '_>, masses: &[Each<i64>]) -> Result<bool> {
        let blend = step.mode.experts - 1;
        let m = sum(masses)[blend].min((1 << 30) - 1);
        let o = lo(m, (1 << 30) - m);
        let share = ((o + 1024).clamp(0, 2047) >> 6) as usize;
        let count = masses.len();
        let l = count.ilog2();
        let number = (2 * l as usize + (count >> l.saturating_sub(1) & 1)).min(15);
        let a = &mut self.a[16 * share + number];
        let b = &mut self.b[64 * share + step.context.sc];
        let c = &mut self.c[64 * share + self.history % 64];
        let stretched = |model: &CountedBit| stretch(model.p1());
        let input = [o, stretched(a), stretched(b), stretched(c), 256];
        self.flag.mix(&input, share);
        let hit = step.coder.bit(self.flag.p1())?;
        self.flag.learn(hit);
        a.learn(hit, 1023);
        b.learn(hit, 1023);
        c.learn(hit, 255);
        self.history = (2 * self.history + usize::from(hit)) % 64;
        Ok(hit)
    }

    /// Which of the list it is.
    fn choose(
        &mut self,
        step: &mut Step<'_, '_>,
        list: &[i32],
        masses: &[Each<i64>],
    ) -> Result<i32> {
        let models = &mut self.models;
        let last = list.len() - 1;
        if last == 0 {
            return Ok(list[0]);
        }
        let blend = step.mode.experts - 1;
        // The last one of equals.
        let best = (0..=last).max_by_key(|&i| masses[i][blend]).unwrap_or(0);
        let question = |node, sign, from, split, to| Question {
            node,
            reference: list[best],
            sign,
            from,
            split,
            to,
        };
        let total = sum(masses);
        let m = masses[best];
        let odds = |e: usize| lo(m[e], (total[e] - m[e]).max(0));
        if step.decide(models, question(0, 1, 0, 1, FAR), odds)? {
            return Ok(list[best]);
        }
        let (lower, upper) = (sum(&masses[..best]), sum(&masses[best + 1..]));
        let up = if best == 0 {
            true
        } else if best == last {
            false
        } else {
            let odds = |e: usize| lo(upper[e], lower[e]);
            step.decide(models, question(1, 1, -FAR, 1, FAR), odds)?
        };
        let (sign, mut rest, end) = if up { (1, upper, last) } else { (-1, lower, 0) };
        let mut i = best;
        let mut s = 0;
        loop {
            i = if up { i + 1 } else { i - 1 };
            if i == end {
                return Ok(list[i]);
            }
            for (rest, mass) in rest.iter_mut().zip(masses[i]) {
                *rest -= mass;
            }
            let from = sign * (list[i] - list[best]);
            let node = 2 + 2 * s.min(13) + usize::from(!up);
            let odds = |e: usize| lo(rest[e].max(1), masses[i][e]);
            if !step.decide(models, question(node, sign, from, from + 1, FAR), odds)? {
                return Ok(list[i]);
            }
            s += 1;
        }
    }
}

fn sum(masses: &[Each<i64>]) -> Each<i64> {
    std::array::from_fn(|e| masses.iter().map(|mass| mass[e]).sum())
}
