//! One channel of a group: its models and its stream.

use super::contexts::Neighbourhood;
use super::experts::ChannelExperts;
use super::field::Field;
use super::learned::{AROUND, Learned};
use super::node::{Guides, Memories, NodeModels, Selection, memory_keys};
use super::pipeline::{Row, Stage};
use super::seen::SeenStage;
use super::tree::Tree;
use super::window::Window;
use crate::lossless::ablation::{Part, on};
use crate::progress::GroupProgress;
use rcodec_core::Result;
use rcodec_entropy::BitCoder;
use rcodec_fixed::{Engine, Work};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a channel is to be coded with.
pub(crate) struct Setup<'a, 'p> {
    /// Samples of the group, to be coded or to be filled.
    pub(crate) plane: &'a mut [u16],
    pub(crate) width: usize,
    pub(crate) rows: usize,
    /// The largest sample of this channel and of those before it, in the
    /// order of coding.
    pub(crate) tops: Vec<u16>,
    pub(crate) use_seen: bool,
    pub(crate) learned: Option<Learned>,
    pub(crate) engine: Engine,
    /// Where the channel's stream begins, for errors.
    pub(crate) start: u64,
    pub(crate) progress: GroupProgress<'p>,
}

/// A channel at work: everything it learns, and its coder.
pub(crate) struct Channel<'a, 'p, C, const E: usize, const N: usize, const M: usize> {
    pub(crate) coder: C,
    setup: Setup<'a, 'p>,
    position: usize,
    max: i32,
    field: Field,
    window: Window,
    pub(crate) experts: ChannelExperts<E>,
    nodes: NodeModels<E, N, M>,
    memories: Memories,
    selection: Selection,
    seen: Option<SeenStage<E, N, M>>,
    /// Rows coded.
    done: usize,
    /// Rows of the channel before that have arrived, those of them that were
    /// put into the field, and those from the one at work on.
    arrived: usize,
    put: usize,
    waiting: VecDeque<Arc<Row>>,
}

impl<'a, 'p, C, const E: usize, const N: usize, const M: usize> Channel<'a, 'p, C, E, N, M> {
    pub(crate) fn new(coder: C, mut setup: Setup<'a, 'p>) -> Self {
        let position = setup.tops.len() - 1;
        let fill: Vec<u16> = setup.tops.iter().map(|top| top.div_ceil(2)).collect();
        let field = Field::new(setup.width, setup.rows, &fill);
        let max = setup.tops[position];
        let learned = setup.learned.take();
        Channel {
            coder,
            position,
            max: i32::from(max),
            window: Window::new(),
            experts: ChannelExperts::new(position, max, setup.width, setup.engine, learned),
            nodes: NodeModels::new(),
            memories: Memories::new(N),
            selection: Selection::default(),
            seen: setup.use_seen.then(SeenStage::new),
            field,
            done: 0,
            arrived: 0,
            put: 0,
            waiting: VecDeque::new(),
            setup,
        }
    }
}

/// A row to be coded.
struct CodeRow<'c, 'a, 'p, C, const E: usize, const N: usize, const M: usize> {
    channel: &'c mut Channel<'a, 'p, C, E, N, M>,
    /// What missed the channels before, one after the other.
    before: [&'c [i32]; 2],
    residuals: &'c mut Vec<i32>,
}

impl<C: BitCoder, const E: usize, const N: usize, const M: usize> Work
    for CodeRow<'_, '_, '_, C, E, N, M>
{
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let channel = self.channel;
        let y = channel.done;
        channel.field.begin_row(channel.position, y);
        channel.experts.begin_row(y);
        for x in 0..channel.setup.width {
            let missed = |i: usize| self.before[i].get(x).copied().unwrap_or(0);
            let around = match channel.experts.learned() {
                Some(learned) => learned.around(self.before, x),
                None => [0; AROUND],
            };
            let residual = channel.code_sample(x, [missed(0), missed(1)], &around)?;
            self.residuals.push(residual);
        }
        channel.field.end_row(channel.position, y);
        channel.experts.end_row();
        Ok(())
    }
}

impl<C: BitCoder, const E: usize, const N: usize, const M: usize> Channel<'_, '_, C, E, N, M> {
    /// What the channels before are like around a sample.
    #[inline(always)]
    fn guides(&self, residuals: [i32; 2]) -> Guides {
        let both = |dx: isize, dy: isize| {
            [1, 2].map(|before| self.window.at(Window::place(before, dx, dy)))
        };
        Guides {
            residuals,
            here: both(0, 0),
            w: both(-1, 0),
            n: both(0, -1),
            ne: both(1, -1),
            nw: both(-1, -1),
            e: both(1, 0),
            s: both(0, 1),
        }
    }

    /// Puts the rows of the channels before into the field, up to row `last`
    /// or the last one.
    fn put_rows(&mut self, last: usize) {
        while self.put <= last && self.put < self.arrived {
            let mut plane = self.position;
            let mut next = self.waiting.get(self.put - self.done);
            while let (Some(row), Some(before)) = (next, plane.checked_sub(1)) {
                plane = before;
                self.field.put_row(plane, self.put, &row.values);
                next = row.before.as_ref();
            }
            self.put += 1;
        }
    }

    /// Codes one sample and says by how much it was missed.
    #[inline(always)]
    fn code_sample(&mut self, x: usize, missed: [i32; 2], around: &[i32; AROUND]) -> Result<i32> {
        let y = self.done;
        let field = &self.field;
        let base = field.row(self.position, y) + x;
        self.window.load(field, base, self.position);
        let hood = Neighbourhood::of(&self.window);
        let experts = &mut self.experts;
        let dist = experts.predict(&self.window, &hood, x, missed[0], around)?;
        let guides = self.guides(missed);
        let selection = &mut self.selection;
        selection.choose::<E, N>(&dist, &hood, &guides, (x, y), self.max);
        if N > 16 && on(Part::Memories) {
            let keys = memory_keys(&hood, &guides, dist.centre);
            self.memories.look_up(&keys, selection);
        }
        let tree = Tree::new(&dist, self.max);
        let slot = &mut self.setup.plane[y * self.setup.width + x];
        let sample = i32::from(*slot);
        let coder = &mut self.coder;
        let mut excluded = None;
        let mut value = None;
        if let Some(seen) = &mut self.seen {
            seen.select(guides.here[1] as u16, guides.here[0] as u16);
            let (found, set) = seen.code(coder, selection, &tree, &dist, sample)?;
            (value, excluded) = (found, Some(set));
        }
        let value = match value {
            Some(value) => value,
            None => tree.code(coder, &mut self.nodes, selection, excluded.as_ref(), sample)?,
        };
        if let Some(seen) = &mut self.seen {
            seen.update(value);
        }
        *slot = value as u16;
        self.field.samples[base] = value as u16;
        self.experts.update(value, x);
        if N > 16 && on(Part::Memories) {
            self.memories.update(value);
        }
        Ok(value - dist.centre)
    }
}

impl<C: BitCoder + Send, const E: usize, const N: usize, const M: usize> Stage
    for Channel<'_, '_, C, E, N, M>
{
    fn accept(&mut self, row: Arc<Row>) {
        self.arrived += 1;
        self.waiting.push_back(row);
    }

    fn step(&mut self) -> Result<Option<Arc<Row>>> {
        let y = self.done;
        let rows = self.setup.rows;
        let ready = self.position == 0 || self.arrived > y + 1 || self.arrived == rows;
        if y == rows || !ready {
            return Ok(None);
        }
        self.field.advance(y);
        self.put_rows(y + 1);
        let before = self.waiting.pop_front();
        let missed = |row: Option<&Arc<Row>>| row.map_or(Vec::new(), |row| row.residuals.clone());
        let first = before.as_ref();
        let missed = [
            missed(first),
            missed(first.and_then(|row| row.before.as_ref())),
        ];
        let width = self.setup.width;
        let mut residuals = Vec::new();
        let engine = self.setup.engine;
        let coded = engine.run(CodeRow {
            channel: self,
            before: [&missed[0], &missed[1]],
            residuals: &mut residuals,
        });
        coded.map_err(|e| e.offset_by(self.setup.start))?;
        self.done += 1;
        self.setup.progress.add(width as u64)?;
        let values = self.setup.plane[y * width..][..width].to_vec();
        Ok(Some(Arc::new(Row {
            values,
            residuals,
            before,
        })))
    }
}
