//! The mode photo [6].

mod contexts;
mod decisions;
mod experts;
mod learned;
mod seen;

use super::{Group, Plane, ValueMap, bitlen, head, order, streams};
use crate::bytes::Bytes;
use crate::coding::{Coder, RangeDecoder};
use crate::error::Result;
use decisions::{Models, Step};
use experts::{Bias, Errors, Expert, QUARTER, experts};
use learned::Learned;
use seen::Seen;

/// The numbers in which the modes differ [6.1].
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    /// Large, or learned.
    large: bool,
    learned: bool,
    experts: usize,
    inputs: usize,
    mixers: usize,
    counters: usize,
    memories: usize,
}

pub(super) const NORMAL: Mode = Mode {
    large: false,
    learned: false,
    experts: 4,
    inputs: 8,
    mixers: 2,
    counters: 3,
    memories: 0,
};

pub(super) const LARGE: Mode = Mode {
    large: true,
    learned: false,
    experts: 6,
    inputs: 32,
    mixers: 4,
    counters: 16,
    memories: 9,
};

pub(super) const LEARNED: Mode = Mode {
    learned: true,
    experts: 7,
    counters: 15,
    ..LARGE
};

/// Room for what the experts say, in all modes.
type Each<T> = [T; 7];

pub(super) fn decode(
    group: Group,
    mut bytes: Bytes<'_>,
    mode: Mode,
) -> Result<(Vec<ValueMap>, Vec<Plane>)> {
    let mut coder = RangeDecoder::new(head(&mut bytes)?)?;
    let maps = ValueMap::read_all(&mut coder, group)?;
    let sparse = coder.raw(1)? == 1;
    coder.finish()?;
    let top = |c: usize| maps[c].top();
    let coded: Vec<usize> = order(group.channels)
        .iter()
        .copied()
        .filter(|&c| top(c) > 0)
        .collect();
    let seen_stage = |position: usize| {
        sparse
            && group.channels >= 3
            && coded[..=position].ends_with(&[1, 0, 2])
            && (0..3).all(|c| top(c) < 256)
    };
    let mut done: Vec<Coded> = Vec::new();
    for (position, payload) in streams(&mut bytes, coded.len())?.into_iter().enumerate() {
        let max = top(coded[position]);
        let alpha = coded[0] + 1 == group.channels && group.channels.is_multiple_of(2);
        let colours = position.saturating_sub(usize::from(alpha));
        let learned = mode.learned.then(|| Learned::new(colours)).transpose()?;
        let mut channel = Channel::new(mode, group, max, &done, seen_stage(position));
        channel.learned = learned;
        channel.decode(RangeDecoder::new(payload)?)?;
        let finished = channel.own;
        done.push(finished);
    }
    let mut planes = vec![vec![0; group.pixels()]; group.channels];
    for (&c, channel) in coded.iter().zip(&done) {
        planes[c] = channel.samples(group);
    }
    Ok((maps, planes))
}

const BESIDE: usize = 4;
const ABOVE: usize = 3;

/// A channel's samples, with margins [6.2], and residuals.
#[derive(Clone, Debug)]
struct Coded {
    plane: Vec<i32>,
    stride: usize,
    residuals: Vec<i32>,
}

impl Coded {
    fn new(group: Group, max: i32) -> Self {
        let stride = group.width + 2 * BESIDE;
        Self {
            plane: vec![(max + 1) / 2; stride * (ABOVE + group.rows + 1)],
            stride,
            residuals: vec![0; group.pixels()],
        }
    }

    /// Where a sample stands.
    fn place(&self, x: usize, y: usize) -> usize {
        (y + ABOVE) * self.stride + BESIDE + x
    }

    /// The sample beside a place.
    fn at(&self, place: usize, dx: isize, dy: isize) -> i32 {
        self.plane[(place as isize + dx + dy * self.stride as isize) as usize]
    }

    fn begin_row(&mut self, y: usize) {
        let first = self.place(0, y);
        let above = self.plane[first - self.stride];
        self.plane[first - BESIDE..first].fill(above);
    }

    fn end_row(&mut self, y: usize, last_row: bool) {
        let stride = self.stride;
        let first = self.place(0, y);
        let end = first + stride - 2 * BESIDE;
        let last = self.plane[end - 1];
        self.plane[end..end + BESIDE].fill(last);
        let row = first - BESIDE..end + BESIDE;
        if y == 0 {
            for above in 1..=ABOVE {
                self.plane
                    .copy_within(row.clone(), row.start - above * stride);
            }
        }
        if last_row {
            self.plane.copy_within(row.clone(), row.start + stride);
        }
    }

    fn samples(&self, group: Group) -> Plane {
        (0..group.rows)
            .flat_map(|y| &self.plane[self.place(0, y)..][..group.width])
            .copied()
            .collect()
    }
}

/// A channel at work.
struct Channel<'a> {
    mode: Mode,
    group: Group,
    max: i32,
    own: Coded,
    /// The channels before, by position.
    before: &'a [Coded],
    experts: Vec<Expert>,
    errors: Vec<Errors>,
    biases: Vec<Bias>,
    /// Means of errors with counts, of each expert.
    means: Vec<Vec<(i32, i32)>>,
    /// Slots of memories: values and counts.
    memories: Vec<Vec<(i32, usize)>>,
    tree: Models,
    seen: Option<Seen>,
    learned: Option<Learned>,
    /// As of the experts, of the plain blend.
    plain_errors: Errors,
    plain_means: Vec<(i32, i32)>,
}

impl<'a> Channel<'a> {
    fn new(mode: Mode, group: Group, max: i32, before: &'a [Coded], seen_stage: bool) -> Self {
        let mean = |i: usize| {
            (
                ((QUARTER[i % 4] << (i / 4) >> 8) << 6).min(1 << 28) as i32,
                0,
            )
        };
        let means: Vec<(i32, i32)> = (0..96).map(mean).collect();
        Self {
            mode,
            group,
            max,
            own: Coded::new(group, max),
            before,
            experts: experts(mode, bitlen(max as u32)),
            errors: vec![Errors::new(group.width); mode.experts],
            biases: vec![Bias::default(); 1024],
            means: vec![means.clone(); mode.experts],
            memories: vec![vec![(0, 0); 1 << 16]; mode.memories],
            tree: Models::new(mode),
            seen: seen_stage.then(|| Seen::new(mode)),
            learned: None,
            plain_errors: Errors::new(group.width),
            plain_means: means,
        }
    }

    fn decode(&mut self, mut coder: RangeDecoder<'_>) -> Result<()> {
        for y in 0..self.group.rows {
            self.own.begin_row(y);
            for expert in &mut self.experts {
                if let Expert::Local(local) = expert {
                    local.begin_row(y, self.group.width);
                }
            }
            for x in 0..self.group.width {
                self.sample(&mut coder, x, y)?;
            }
            self.own.end_row(y, y + 1 == self.group.rows);
        }
        coder.finish()
    }

    fn sample(&mut self, coder: &mut RangeDecoder<'_>, x: usize, y: usize) -> Result<()> {
        let said = self.predict(x, y);
        let context = self.contexts(x, y, &said);
        let mut step = Step {
            mode: self.mode,
            said: &said,
            context: &context,
            coder,
        };
        let mut excluded = Vec::new();
        let mut sample = None;
        if let Some(seen) = &mut self.seen {
            (sample, excluded) = seen.decode(&mut step)?;
        }
        let sample = match sample {
            Some(sample) => sample,
            None => step.tree(&mut self.tree, self.max, &excluded)?,
        };
        if let Some(seen) = &mut self.seen {
            seen.learn(&context, sample);
        }
        self.learn(x, y, &said, sample);
        for (memory, &slot) in self.memories.iter_mut().zip(&context.slots) {
            let (value, count) = &mut memory[slot];
            if *value == sample {
                *count = (*count + 1).min(7);
            } else if *count > 3 {
                *count /= 2;
            } else {
                (*value, *count) = (sample, 1);
            }
        }
        let place = self.own.place(x, y);
        self.own.plane[place] = sample;
        self.own.residuals[y * self.group.width + x] = sample - said.centre;
        Ok(())
    }

    /// A sample around: `i` channels before, 0 if there are not so many.
    fn p(&self, place: usize, i: usize, dx: isize, dy: isize) -> i32 {
        if i == 0 {
            self.own.at(place, dx, dy)
        } else if i <= self.before.len() {
            self.before[self.before.len() - i].at(place, dx, dy)
        } else {
            0
        }
    }

    fn residual(&self, x: usize, y: usize, i: usize) -> i32 {
        match self.before.len().checked_sub(i) {
            Some(position) => self.before[position].residuals[y * self.group.width + x],
            None => 0,
        }
    }
}

/// Which of four a pixel is.
fn phase(x: usize, y: usize) -> usize {
    x % 2 + 2 * (y % 2)
}
