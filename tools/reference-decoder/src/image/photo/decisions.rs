//! One decision [6.7], and the tree of them [6.8].

use super::super::common::{above, between, ln};
use super::Mode;
use super::contexts::Context;
use super::experts::Said;
use crate::coding::{
    Apm, Coder, CountedBit, Mixer, MixerStack, RangeDecoder, Rate, squash, stretch,
};
use crate::error::Result;

/// What mixes the inputs.
#[derive(Clone, Debug)]
enum Mixing {
    /// Two mixers, whose answers count the same, in the normal mode.
    Pair([Mixer; 2]),
    /// A stack, whose answer two maps refine, in the large one.
    Refined {
        stack: MixerStack,
        by_value: Apm,
        by_scale: Apm,
    },
}

impl Mixing {
    fn new(mode: Mode) -> Self {
        let rate = Rate::falling(800, 250, 6);
        let sets = [512, 2048, 2048, 8192];
        if mode.large {
            let last = Rate::falling(200, 30, 8);
            Self::Refined {
                stack: MixerStack::new(mode.inputs, &sets[..mode.mixers], 3000, rate, 32, last),
                by_value: Apm::new(8192, LIMIT),
                by_scale: Apm::new(2048, LIMIT),
            }
        } else {
            Self::Pair([0, 1].map(|m| Mixer::new(mode.inputs, sets[m], 6000, rate)))
        }
    }

    /// The probability of 1 in a context, at a node.
    fn probability(&mut self, input: &[i32], context: &Context, node: usize) -> u32 {
        let contexts = context.sets.map(|set| 32 * set + node);
        match self {
            Self::Pair([first, second]) => {
                let answers = first.mix(input, contexts[0]) + second.mix(input, contexts[1]);
                squash(answers / 2)
            }
            Self::Refined {
                stack,
                by_value,
                by_scale,
            } => {
                let odds = stack.mix(input, &contexts, node);
                let q1 = by_value.refine(odds, 32 * context.value + node);
                let q2 = by_scale.refine(odds, 32 * context.sc + node);
                (2 * stack.p1() + q1 + q2) >> 2
            }
        }
    }

    fn learn(&mut self, bit: bool) {
        match self {
            Self::Pair(mixers) => {
                for mixer in mixers {
                    mixer.learn(bit);
                }
            }
            Self::Refined {
                stack,
                by_value,
                by_scale,
            } => {
                stack.learn(bit);
                by_value.learn(bit);
                by_scale.learn(bit);
            }
        }
    }
}

/// What decides [6.7].
#[derive(Clone, Debug)]
pub(super) struct Models {
    counters: Vec<CountedBit>,
    trust: Vec<CountedBit>,
    mixing: Mixing,
}

const LIMIT: u32 = 255;

impl Models {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            counters: vec![CountedBit::default(); mode.counters * 1024 * 32],
            trust: vec![CountedBit::default(); mode.memories * 24 * 32],
            mixing: Mixing::new(mode),
        }
    }
}

fn fine(model: &CountedBit) -> i32 {
    stretch(16 * (model.p1() >> 4) + 8)
}

/// What a decision asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) node: usize,
    pub(super) reference: i32,
    pub(super) sign: i32,
    pub(super) from: i32,
    pub(super) split: i32,
    pub(super) to: i32,
}

/// Farther than any sample.
pub(super) const FAR: i32 = 1 << 20;

/// A sample that is being decoded.
pub(super) struct Step<'a, 'b> {
    pub(super) mode: Mode,
    pub(super) said: &'a Said,
    pub(super) context: &'a Context,
    pub(super) coder: &'a mut RangeDecoder<'b>,
}

impl Step<'_, '_> {
    pub(super) fn decide(
        &mut self,
        models: &mut Models,
        question: Question,
        odds: impl Fn(usize) -> i32,
    ) -> Result<bool> {
        let Mode {
            experts,
            inputs,
            counters,
            memories,
            ..
        } = self.mode;
        let node = question.node;
        let context = self.context;
        let mut input = vec![0; inputs];
        for e in 0..experts {
            input[e] = odds(e).clamp(-2047, 2047);
        }
        let counter = |k: usize| (1024 * k + context.counters[k]) * 32 + node;
        for k in 0..counters {
            input[experts + k] = fine(&models.counters[counter(k)]);
        }
        let trust = |k: usize| {
            let (value, count) = context.memories[k];
            let d = question.sign * (value - question.reference);
            let says = if count == 0 || d < question.from || d >= question.to {
                0
            } else {
                1 + usize::from(d >= question.split)
            };
            (3 * (8 * k + count) + says) * 32 + node
        };
        for k in 0..memories {
            input[experts + counters + k] = fine(&models.trust[trust(k)]);
        }
        input[inputs - 1] = 256;
        let p1 = models.mixing.probability(&input, context, node);
        let bit = self.coder.bit(p1)?;
        models.mixing.learn(bit);
        for k in 0..counters {
            models.counters[counter(k)].learn(bit, LIMIT);
        }
        for k in 0..memories {
            models.trust[trust(k)].learn(bit, LIMIT);
        }
        Ok(bit)
    }

    /// The tree of decisions [6.8].
    pub(super) fn tree(&mut self, models: &mut Models, max: i32, excluded: &[i32]) -> Result<i32> {
        let said = self.said;
        let centre = said.centre;
        let question = |node, sign, from, split, to| Question {
            node,
            reference: centre,
            sign,
            from,
            split,
            to,
        };
        let below = said.tails(centre);
        let behind = said.tails(centre + 1);
        if !excluded.contains(&centre) {
            let odds = |e: usize| {
                let m = between(below[e], behind[e]);
                ln(m) - ln((1 << 30) - m.min((1 << 30) - 1))
            };
            if self.decide(models, question(0, 1, 0, 1, FAR), odds)? {
                return Ok(centre);
            }
        }
        let up = if centre == 0 {
            true
        } else if centre == max {
            false
        } else {
            let odds = |e: usize| ln(above(behind[e])) - ln(above(-below[e]));
            self.decide(models, question(1, 1, -FAR, 1, FAR), odds)?
        };
        let (sign, most) = if up { (1, max - centre) } else { (-1, centre) };
        // The tails at the near boundary of a distance.
        let near = |d: i32| match up {
            true => said.tails(centre + d),
            false => said.tails(centre + 1 - d).map(|t| -t),
        };
        let unit = (said.scale as i32 / 4 - 7).max(0);
        let mut from = 1;
        let mut s = 0;
        let mut to;
        loop {
            let more = if s < 8 { 0 } else { (s - 6) / 2 };
            let width = 1 << (unit + more).min(16);
            let split = from + width;
            if split > most {
                to = most + 1;
                break;
            }
            if width == 1 && excluded.contains(&(centre + sign * from)) {
                from = split;
                s += 1;
                continue;
            }
            let node = 2 + 2 * s.min(13) as usize + usize::from(!up);
            let (low, high) = (near(from), near(split));
            let odds = |e: usize| ln(above(high[e])) - ln(between(low[e], high[e]));
            if self.decide(models, question(node, sign, from, split, FAR), odds)? {
                from = split;
                s += 1;
            } else {
                to = split;
                break;
            }
        }
        while to - from > 1 {
            let split = from + (to - from + 1) / 2;
            let node = 30 + usize::from(to - from > 2);
            let (low, middle, high) = (near(from), near(split), near(to));
            let odds = |e: usize| ln(between(middle[e], high[e])) - ln(between(low[e], middle[e]));
            if self.decide(models, question(node, sign, from, split, to), odds)? {
                from = split;
            } else {
                to = split;
            }
        }
        Ok(centre + sign * from)
    }
}
