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

mod contexts;
mod experts;
mod field;
mod node;
pub(crate) mod ols;
mod seen;
mod tree;

use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use crate::progress::GroupProgress;
use contexts::Neighbourhood;
use experts::ChannelExperts;
use field::Field;
use node::{NodeModels, Selection};
use rcodec_core::Result;
use rcodec_entropy::BitCoder;
use seen::SeenStage;
use tree::Tree;

/// Upper bound of the memory that models take, beside the samples.
pub(crate) const TABLE_BYTES: u64 = 32 << 20;

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
    maps.len() >= 3 && order[position] == 2 && maps[..3].iter().all(|map| map.max_rank() < 256)
}

/// Everything that one channel learns.
struct ChannelModel<const E: usize, const N: usize, const M: usize> {
    channel: usize,
    max: i32,
    experts: ChannelExperts<E>,
    nodes: NodeModels<E, N, M>,
    seen: Option<SeenStage<E, N, M>>,
}

/// How much is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Four experts, eight contexts.
    Normal,
    /// Six experts, seventeen contexts.
    Large,
}

/// Codes the planes, or decodes into them.
///
/// # Errors
/// Those of `coder` and `progress`.
pub(crate) fn code<C: BitCoder>(
    coder: &mut C,
    planes: &mut Planes,
    maps: &[ValueMap],
    level: Level,
    progress: &mut GroupProgress<'_>,
) -> Result<()> {
    match level {
        Level::Normal => code_with::<C, 4, 16, 2>(coder, planes, maps, progress),
        Level::Large => code_with::<C, 6, 24, 3>(coder, planes, maps, progress),
    }
}

fn code_with<C: BitCoder, const E: usize, const N: usize, const M: usize>(
    coder: &mut C,
    planes: &mut Planes,
    maps: &[ValueMap],
    progress: &mut GroupProgress<'_>,
) -> Result<()> {
    let fill: Vec<u16> = maps.iter().map(|map| map.max_rank().div_ceil(2)).collect();
    let mut field = Field::new(planes.width, planes.rows, &fill);
    let order: Vec<usize> = coding_order(maps.len())
        .iter()
        .copied()
        .filter(|&channel| maps[channel].max_rank() > 0)
        .collect();
    let worth = !C::DECODES && seen::is_worth(planes, maps);
    let use_seen = coder.code_raw(u32::from(worth), 1)? != 0;
    let mut models: Vec<ChannelModel<E, N, M>> = (0..order.len())
        .map(|position| {
            let channel = order[position];
            let max = maps[channel].max_rank();
            ChannelModel {
                channel,
                max: i32::from(max),
                experts: ChannelExperts::new(&field, &order, position, max, planes.width),
                nodes: NodeModels::new(),
                seen: (use_seen && may_have_seen_stage(&order, position, maps))
                    .then(SeenStage::new),
            }
        })
        .collect();
    for y in 0..planes.rows {
        field.begin_row(y, maps.len());
        for model in &mut models {
            model.experts.begin_row(y);
        }
        for x in 0..planes.width {
            code_pixel(coder, planes, &mut field, &mut models, x, y)?;
        }
        field.end_row(y, maps.len());
        progress.add((planes.width * maps.len()) as u64)?;
    }
    Ok(())
}

/// Codes the samples of one pixel.
fn code_pixel<C: BitCoder, const E: usize, const N: usize, const M: usize>(
    coder: &mut C,
    planes: &mut Planes,
    field: &mut Field,
    models: &mut [ChannelModel<E, N, M>],
    x: usize,
    y: usize,
) -> Result<()> {
    let mut residuals = [0i32; 4];
    for (position, model) in models.iter_mut().enumerate() {
        let at = y * planes.width + x;
        let slot = &mut planes.channels[model.channel][at];
        let base = model.channel * field.plane + field.row(y) + x;
        let hood = Neighbourhood::at(field, base);
        let dist = model
            .experts
            .predict(field, &hood, base, x, &residuals, position);
        let selection = Selection::new(&dist, &hood, &residuals, position, x, y, model.max);
        let tree = Tree::new(&dist, &selection, model.max);
        let sample = i32::from(*slot);
        let value = match &mut model.seen {
            None => tree.code(coder, &mut model.nodes, sample)?,
            Some(seen) => {
                let offset = field.row(y) + x;
                let first = field.samples[field.plane + offset];
                seen.select(first, field.samples[offset]);
                let (value, excluded) = seen.code(coder, &selection, &tree, &dist, sample)?;
                let value = match value {
                    Some(value) => value,
                    None => tree
                        .excluding(excluded)
                        .code(coder, &mut model.nodes, sample)?,
                };
                seen.update(value);
                value
            }
        };
        *slot = value as u16;
        field.samples[base] = value as u16;
        model.experts.update(value, x);
        residuals[position] = value - dist.centre;
    }
    Ok(())
}
