//! Photographs: every sample is predicted by several experts, whose
//! distributions are mixed bit by bit with adaptive contexts.
//!
//! ```text
//! neighbours ─┬▶ least squares ─┐
//!             ├▶ gradient ──────┼▶ blend ─▶ centre ─▶ tree of decisions
//!             └▶ local errors ──┘ (μ, scale)            │ each node:
//!                                                       ▼
//!                experts' log odds ─┬▶ mixer sets ─▶ maps ─▶ bit
//!                context counters ──┘
//! ```
//!
//! Every channel has a stream and models of its own, and sees the channels
//! before it a row ahead: so the channels of a picture are coded side by side,
//! and each knows what is to the right of a sample and below it in those
//! before it.

mod channel;
mod contexts;
mod experts;
mod field;
mod learned;
mod local;
mod node;
pub(crate) mod ols;
mod pipeline;
mod seen;
mod solve;
mod tree;
mod window;

use crate::lossless::ablation::{Part, on};
use crate::lossless::bytes::{put_varint, take, take_varint};
use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use crate::progress::GroupProgress;
use channel::{Channel, Setup};
use experts::WITH_LEARNED;
use learned::Learned;
pub(crate) use learned::Networks;
pub use learned::{Example, FloatLayer, INPUTS, UNITS, quantise};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, RangeBitDecoder, RangeBitEncoder};
use rcodec_fixed::Engine;

/// Upper bound of the memory that models take, beside samples and rows.
pub(crate) const TABLE_BYTES: u64 = 80 << 20;

/// Upper bound of what is kept for every column of a channel.
pub(crate) const COLUMN_BYTES: u64 = 3136 + field::COLUMN_BYTES;

/// The order in which channels are coded: alpha first, then the colour that
/// the others follow best.
fn coding_order(channels: usize) -> &'static [usize] {
    match channels {
        1 => &[0],
        2 => &[1, 0],
        3 => &[1, 0, 2],
        _ => &[3, 1, 0, 2],
    }
}

/// Whether the channel at `position` is the last of three colours of at most
/// 256 values each.
fn may_have_seen_stage(order: &[usize], position: usize, maps: &[ValueMap]) -> bool {
    maps.len() >= 3
        && position >= 2
        && order[position] == 2
        && order[position - 2..position] == [1, 0]
        && maps[..3].iter().all(|map| map.max_rank() < 256)
}

/// How much is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Four experts, three contexts.
    Normal,
    /// Six experts, sixteen contexts, remembered values.
    Large,
    /// As large, with a learned expert in the place of the last context.
    Learned,
}

/// Channels that have more than one value, in the order of coding.
fn order_of(maps: &[ValueMap]) -> Vec<usize> {
    let order = coding_order(maps.len()).iter().copied();
    order
        .filter(|&channel| maps[channel].max_rank() > 0)
        .collect()
}

/// The streams of the channels, after each other. `planes` hold ranks.
///
/// # Errors
/// Those of `progress`.
pub(crate) fn encode(
    mut head: RangeBitEncoder,
    planes: &mut Planes,
    maps: &[ValueMap],
    level: Level,
    progress: &mut GroupProgress<'_>,
) -> Result<Vec<u8>> {
    let use_seen = on(Part::SeenStage) && seen::is_worth(planes, maps);
    head.code_raw(u32::from(use_seen), 1)?;
    let fresh = order_of(maps)
        .iter()
        .map(|_| (RangeBitEncoder::new(), 0))
        .collect();
    let coders = code(fresh, planes, maps, use_seen, level, progress)?;
    let head = head.finish();
    let streams: Vec<Vec<u8>> = coders.into_iter().map(RangeBitEncoder::finish).collect();
    let mut bytes = Vec::new();
    put_varint(&mut bytes, head.len());
    bytes.extend(head);
    for stream in streams.iter().take(streams.len().saturating_sub(1)) {
        put_varint(&mut bytes, stream.len());
    }
    for stream in streams {
        bytes.extend(stream);
    }
    Ok(bytes)
}

/// Decodes into `planes` what [`encode`] wrote, and gives the maps, which
/// `read_maps` reads from the head.
///
/// # Errors
/// Those of the range decoder, of `progress`, and [`Error::Malformed`].
pub(crate) fn decode(
    body: &[u8],
    planes: &mut Planes,
    level: Level,
    progress: &mut GroupProgress<'_>,
    read_maps: impl FnOnce(&mut RangeBitDecoder<'_>) -> Result<Vec<ValueMap>>,
) -> Result<Vec<ValueMap>> {
    let mut at = 0;
    let head_len = take_varint(body, &mut at)?;
    let head_at = at as u64;
    let mut head = RangeBitDecoder::new(take(body, &mut at, head_len)?);
    let (maps, use_seen) = read_maps(&mut head)
        .and_then(|maps| Ok((maps, head.code_raw(0, 1)? != 0)))
        .and_then(|read| head.finish().map(|()| read))
        .map_err(|e| e.offset_by(head_at))?;
    let streams = order_of(&maps).len();
    let mut lengths = Vec::new();
    for _ in 1..streams {
        lengths.push(take_varint(body, &mut at)?);
    }
    let mut coders = Vec::new();
    for length in lengths {
        let start = at as u64;
        coders.push((RangeBitDecoder::new(take(body, &mut at, length)?), start));
    }
    if streams > 0 {
        coders.push((RangeBitDecoder::new(&body[at..]), at as u64));
    } else if at < body.len() {
        return Err(Error::malformed(at as u64, "bytes after a group"));
    }
    let starts: Vec<u64> = coders.iter().map(|(_, start)| *start).collect();
    let coders = code(coders, planes, &maps, use_seen, level, progress)?;
    for (coder, start) in coders.into_iter().zip(starts) {
        coder.finish().map_err(|e| e.offset_by(start))?;
    }
    Ok(maps)
}

/// Codes the channels with a coder each, which come with their offsets in the
/// payload, and gives the coders back.
fn code<C: BitCoder + Send>(
    coders: Vec<(C, u64)>,
    planes: &mut Planes,
    maps: &[ValueMap],
    use_seen: bool,
    level: Level,
    progress: &mut GroupProgress<'_>,
) -> Result<Vec<C>> {
    match level {
        Level::Normal => code_with::<C, 4, 8, 2>(coders, planes, maps, use_seen, progress),
        Level::Large => code_with::<C, 6, 32, 4>(coders, planes, maps, use_seen, progress),
        Level::Learned => {
            code_with::<C, WITH_LEARNED, 32, 4>(coders, planes, maps, use_seen, progress)
        }
    }
}

fn code_with<C: BitCoder + Send, const E: usize, const N: usize, const M: usize>(
    coders: Vec<(C, u64)>,
    planes: &mut Planes,
    maps: &[ValueMap],
    use_seen: bool,
    progress: &mut GroupProgress<'_>,
) -> Result<Vec<C>> {
    let stages = run::<C, E, N, M>(coders, planes, maps, use_seen, None, progress)?;
    Ok(stages.into_iter().map(|stage| stage.coder).collect())
}

/// Examples for the learned expert, by the number of colours known: one sample
/// in so many of a group.
///
/// # Errors
/// Those of `progress`.
pub(crate) fn examples(
    planes: &mut Planes,
    maps: &[ValueMap],
    one_in: u32,
    progress: &mut GroupProgress<'_>,
) -> Result<[Vec<Example>; 3]> {
    let coders = order_of(maps)
        .into_iter()
        .map(|_| (RangeBitEncoder::new(), 0));
    let coders = coders.collect();
    let stages =
        run::<_, WITH_LEARNED, 32, 4>(coders, planes, maps, false, Some(one_in), progress)?;
    let mut all = <[Vec<Example>; 3]>::default();
    for learned in stages.into_iter().filter_map(|s| s.experts.into_learned()) {
        let (colours, examples) = learned.into_examples();
        all[colours].extend(examples);
    }
    Ok(all)
}

/// Codes the channels, and gives them back as they are then; `one_in` is for
/// [`examples`].
fn run<'a, 'p, C: BitCoder + Send, const E: usize, const N: usize, const M: usize>(
    coders: Vec<(C, u64)>,
    planes: &'a mut Planes,
    maps: &[ValueMap],
    use_seen: bool,
    one_in: Option<u32>,
    progress: &mut GroupProgress<'p>,
) -> Result<Vec<Channel<'a, 'p, C, E, N, M>>> {
    let order = order_of(maps);
    let tops: Vec<u16> = order.iter().map(|&c| maps[c].max_rank()).collect();
    let (width, rows) = (planes.width, planes.rows);
    let engine = Engine::new();
    let networks = match E {
        WITH_LEARNED => Some(Networks::get()?),
        _ => None,
    };
    let alphas =
        usize::from(maps.len().is_multiple_of(2) && order.first() == Some(&(maps.len() - 1)));
    let mut channels: Vec<Option<&mut Vec<u16>>> = planes.channels.iter_mut().map(Some).collect();
    let mut stages = Vec::new();
    for (position, (coder, start)) in coders.into_iter().enumerate() {
        let Some(plane) = channels[order[position]].take() else {
            continue;
        };
        let max = tops[position];
        let colours = position.saturating_sub(alphas);
        let mut learned =
            networks.map(|networks| Learned::new(networks, colours, max, width, engine));
        if let (Some(learned), Some(one_in)) = (&mut learned, one_in) {
            learned.keep(one_in);
        }
        let setup = Setup {
            plane,
            width,
            rows,
            tops: tops[..=position].to_vec(),
            use_seen: use_seen && may_have_seen_stage(&order, position, maps),
            learned,
            engine,
            start,
            progress: progress.part((width * rows) as u64),
        };
        stages.push(Channel::<C, E, N, M>::new(coder, setup));
    }
    pipeline::run(stages)
}
