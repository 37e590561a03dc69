//! The fast mode: one predictor per sample, and residuals as tokens with static
//! tables chosen by the local activity.
//!
//! Every channel has streams of its own, so that a CPU works at the next
//! sample of one channel while another's is not done yet.

mod tokens;

use crate::lossless::bytes::{put_varint, take, take_varint};
use crate::lossless::color::ColorTransform;
use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use crate::progress::GroupProgress;
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, RangeBitDecoder, RangeBitEncoder};
use tokens::{CLASSES, Player, Recorder, Residuals, Tables};

/// No sample is larger after a transform.
const VALUE_MAX: i32 = 1 << 17;

/// Columns before the first sample of a row.
const BORDER: usize = 2;

/// Signs of the three slopes around a sample.
const TEXTURES: usize = 27;

/// The state of one channel.
struct Channel {
    /// Samples so far in the row, and the row above, with a border.
    row: Vec<i32>,
    above: Vec<i32>,
    /// Absolute residuals of the row and of the one above.
    errors: Vec<u32>,
    errors_above: Vec<u32>,
    /// By class and texture: by how much samples were missed lately, Q8.
    bias_q8: Vec<i32>,
}

impl Channel {
    fn new(width: usize) -> Self {
        let len = width + 2 * BORDER;
        Channel {
            row: vec![0; len],
            above: vec![0; len],
            errors: vec![0; len],
            errors_above: vec![0; len],
            bias_q8: vec![0; CLASSES * TEXTURES],
        }
    }

    fn begin_row(&mut self) {
        std::mem::swap(&mut self.row, &mut self.above);
        std::mem::swap(&mut self.errors, &mut self.errors_above);
        let end = self.above.len() - BORDER;
        let last = self.above[end - 1];
        self.above[end..].fill(last);
        let first = self.above[BORDER];
        self.above[..BORDER].fill(first);
        self.row[..BORDER].fill(first);
        self.errors_above[end] = self.errors_above[end - 1];
    }

    /// Codes the sample in column `x` and says by how much it was missed;
    /// `crossed` is that of the channel before.
    #[inline(always)]
    fn code<R: Residuals>(&mut self, coder: &mut R, x: usize, value: i32, crossed: u32) -> u32 {
        let at = x + BORDER;
        let above = &self.above[at - 1..at + 2];
        let missed = &self.errors_above[at - 1..at + 2];
        let (w, ww) = (self.row[at - 1], self.row[at - 2]);
        let (nw, n, ne) = (above[0], above[1], above[2]);
        let activity = self.errors[at - 1] * 2
            + missed[1] * 2
            + missed[2]
            + missed[0]
            + (w - ww).unsigned_abs()
            + (n - ne).unsigned_abs()
            + crossed * 2;
        let class = activity_class(activity);
        // Gradient clamped to its neighbours, half of the upper slope beyond.
        let clamped = (w + n - nw).clamp(w.min(n), w.max(n));
        let predicted = (3 * clamped + ((w + ne + 1) >> 1) + 2) >> 2;
        let texture = 9 * sign(n - nw) + 3 * sign(w - nw) + sign(ne - n);
        let bias_q8 = &mut self.bias_q8[class * TEXTURES + texture];
        let predicted = predicted + ((*bias_q8 + 128) >> 8);
        // What no encoder writes is bent into range; the streams' ends tell.
        let residual = coder.code(class, value - predicted);
        let value = (predicted + residual).clamp(-VALUE_MAX, VALUE_MAX);
        *bias_q8 += ((residual << 8) - *bias_q8) >> BIAS_RATE;
        let error = residual.unsigned_abs();
        self.row[at] = value;
        self.errors[at] = error;
        error
    }
}

/// A bias moves by `2^-BIAS_RATE` of what is missing.
const BIAS_RATE: u32 = 5;

/// 0, 1 or 2 for negative, zero, positive.
#[inline(always)]
fn sign(value: i32) -> usize {
    (value.signum() + 1) as usize
}

/// Two classes to the octave.
#[inline(always)]
fn activity_class(activity: u32) -> usize {
    let value = activity + 1;
    let whole = value.ilog2();
    let half = (value << 1 >> whole) & 1;
    ((2 * whole + half) as usize).min(CLASSES - 1)
}

/// Which transform gives the smallest differences on a few rows.
fn choose_transform(planes: &Planes) -> ColorTransform {
    if planes.channels.len() < 3 {
        return ColorTransform::None;
    }
    let mut cost = [0u64; 3];
    let step = planes.rows.div_ceil(64);
    for y in (0..planes.rows).step_by(step) {
        let row = y * planes.width;
        for at in row + 1..row + planes.width {
            let rgb = |at: usize| std::array::from_fn(|c| i32::from(planes.channels[c][at]));
            for (cost, transform) in cost.iter_mut().zip(ColorTransform::ALL) {
                let (a, b) = (transform.forward(rgb(at - 1)), transform.forward(rgb(at)));
                *cost += (0..3).map(|c| u64::from(a[c].abs_diff(b[c]))).sum::<u64>();
            }
        }
    }
    let best = (0..3).min_by_key(|&i| cost[i]).unwrap_or(0);
    ColorTransform::ALL[best]
}

/// Codes a row of all channels, pixel by pixel. `values` has the samples of an
/// encoder.
fn code_row<R: Residuals, const K: usize>(
    channels: &mut [Channel; K],
    coders: &mut [R; K],
    values: &[Vec<i32>],
    width: usize,
) {
    for channel in channels.iter_mut() {
        channel.begin_row();
    }
    for x in 0..width {
        let mut crossed = 0;
        for c in 0..K {
            let value = values.get(c).and_then(|row| row.get(x));
            crossed = channels[c].code(&mut coders[c], x, value.copied().unwrap_or(0), crossed);
        }
    }
}

/// Channels that are coded: all of colour, and others of more than one value.
fn coded_channels(maps: &[ValueMap]) -> Vec<usize> {
    let colours = colours(maps.len());
    (0..maps.len())
        .filter(|&c| c < colours || maps[c].max_rank() > 0)
        .collect()
}

/// Channels that a transform applies to.
fn colours(channels: usize) -> usize {
    if channels >= 3 { 3 } else { 0 }
}

/// The rows of a group, with what codes them.
struct Rows<'a, 'p> {
    planes: &'a mut Planes,
    transform: ColorTransform,
    coded: Vec<usize>,
    progress: &'a mut GroupProgress<'p>,
}

impl Rows<'_, '_> {
    /// The channels of a row, transformed.
    fn values(&self, y: usize) -> Vec<Vec<i32>> {
        let width = self.planes.width;
        let row = |c: &usize| -> Vec<i32> {
            let plane = &self.planes.channels[*c][y * width..][..width];
            plane.iter().map(|&sample| i32::from(sample)).collect()
        };
        let mut values: Vec<Vec<i32>> = self.coded.iter().map(row).collect();
        if let [a, b, c, ..] = &mut values[..]
            && colours(self.planes.channels.len()) == 3
        {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                [*a, *b, *c] = self.transform.forward([*a, *b, *c]);
            }
        }
        values
    }

    /// Records everything.
    fn record<const K: usize>(&mut self, recorders: &mut [Recorder; K]) -> Result<()> {
        let width = self.planes.width;
        let mut channels: [Channel; K] = std::array::from_fn(|_| Channel::new(width));
        for y in 0..self.planes.rows {
            let values = self.values(y);
            code_row(&mut channels, recorders, &values, width);
            self.progress
                .add((width * self.planes.channels.len()) as u64)?;
        }
        Ok(())
    }

    /// Fills the planes.
    fn play<const K: usize>(&mut self, players: &mut [Player<'_>; K], tops: &[i32]) -> Result<()> {
        let width = self.planes.width;
        let mut channels: [Channel; K] = std::array::from_fn(|_| Channel::new(width));
        for y in 0..self.planes.rows {
            code_row(&mut channels, players, &[], width);
            self.put_row(&channels, y, tops)?;
            self.progress
                .add((width * self.planes.channels.len()) as u64)?;
        }
        Ok(())
    }

    /// Undoes the transform of a row.
    fn put_row<const K: usize>(
        &mut self,
        channels: &[Channel; K],
        y: usize,
        tops: &[i32],
    ) -> Result<()> {
        let width = self.planes.width;
        let mut values: [&[i32]; K] = [&[]; K];
        for (values, channel) in values.iter_mut().zip(channels) {
            *values = &channel.row[BORDER..BORDER + width];
        }
        let mut fits = true;
        let mut plain = 0;
        if colours(self.planes.channels.len()) == 3
            && let [first, second, third, ..] = &mut self.planes.channels[..]
            && let [a, b, c, ..] = &values[..]
        {
            let rows = [first, second, third].map(|plane| &mut plane[y * width..][..width]);
            fits = put_colours(rows, [a, b, c], self.transform, tops);
            plain = 3;
        }
        for (&c, values) in self.coded.iter().zip(values).skip(plain) {
            let row = &mut self.planes.channels[c][y * width..][..width];
            for (slot, &value) in row.iter_mut().zip(values) {
                fits &= (0..=tops[c]).contains(&value);
                *slot = value as u16;
            }
        }
        if fits {
            Ok(())
        } else {
            Err(Error::malformed(0, "a sample is out of range"))
        }
    }
}

/// Undoes the transform of three channels, and says whether all samples are
/// in range.
fn put_colours(
    [first, second, third]: [&mut [u16]; 3],
    [a, b, c]: [&[i32]; 3],
    transform: ColorTransform,
    tops: &[i32],
) -> bool {
    let mut fits = true;
    let slots = first.iter_mut().zip(second).zip(third);
    for (((r, g), b_slot), ((&a, &b), &c)) in slots.zip(a.iter().zip(b).zip(c)) {
        let samples = transform.inverse([a, b, c]);
        for (sample, top) in samples.iter().zip(tops) {
            fits &= (0..=*top).contains(sample);
        }
        [*r, *g, *b_slot] = samples.map(|sample| sample as u16);
    }
    fits
}

/// The group after the head, whose value maps are written. `planes` hold
/// ranks.
///
/// # Errors
/// Those of `progress`.
pub(crate) fn encode(
    mut head: RangeBitEncoder,
    planes: &mut Planes,
    maps: &[ValueMap],
    progress: &mut GroupProgress<'_>,
) -> Result<Vec<u8>> {
    let transform = choose_transform(planes);
    head.code_raw(transform.number(), 2)?;
    let coded = coded_channels(maps);
    let count = coded.len();
    let mut rows = Rows {
        planes,
        transform,
        coded,
        progress,
    };
    let recorders: Vec<Recorder> = match count {
        0 => Vec::new(),
        1 => rows.recorded::<1>()?,
        2 => rows.recorded::<2>()?,
        3 => rows.recorded::<3>()?,
        _ => rows.recorded::<4>()?,
    };
    let mut streams = Vec::new();
    for recorder in recorders {
        streams.extend(recorder.finish(&mut head)?);
    }
    let head = head.finish();
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

impl Rows<'_, '_> {
    /// Everything, recorded.
    fn recorded<const K: usize>(&mut self) -> Result<Vec<Recorder>> {
        let mut recorders: [Recorder; K] = std::array::from_fn(|_| Recorder::new());
        self.record(&mut recorders)?;
        Ok(recorders.into())
    }

    /// Plays everything.
    fn played<const K: usize>(&mut self, players: Vec<Player<'_>>, tops: &[i32]) -> Result<()> {
        let Ok(mut players) = <[Player<'_>; K]>::try_from(players) else {
            return Ok(()); // not reached: there are as many
        };
        self.play(&mut players, tops)?;
        players.into_iter().try_for_each(Player::finish)
    }
}

/// Decodes into `planes` what [`encode`] wrote, and gives the maps, which
/// `read_maps` reads from the head.
///
/// # Errors
/// Those of the coders, of `progress`, and [`Error::Malformed`].
pub(crate) fn decode(
    body: &[u8],
    planes: &mut Planes,
    progress: &mut GroupProgress<'_>,
    read_maps: impl FnOnce(&mut RangeBitDecoder<'_>) -> Result<Vec<ValueMap>>,
) -> Result<Vec<ValueMap>> {
    let mut at = 0;
    let head_len = take_varint(body, &mut at)?;
    let head_at = at as u64;
    let mut head = RangeBitDecoder::new(take(body, &mut at, head_len)?);
    let (maps, transform, tables) = read_head(&mut head, read_maps)
        .and_then(|read| head.finish().map(|()| read))
        .map_err(|e| e.offset_by(head_at))?;
    let coded = coded_channels(&maps);
    let mut lengths = Vec::new();
    for _ in 1..2 * coded.len() {
        lengths.push(take_varint(body, &mut at)?);
    }
    let mut lengths = lengths.into_iter();
    let mut players = Vec::new();
    for tables in tables {
        let mut next = || match lengths.next() {
            Some(length) => take(body, &mut at, length),
            None => Ok(&body[std::mem::replace(&mut at, body.len())..]),
        };
        let (tokens, bits) = (next()?, next()?);
        players.push(Player::new(tables, tokens, bits)?);
    }
    if at < body.len() {
        return Err(Error::malformed(at as u64, "bytes after a group"));
    }
    let tops: Vec<i32> = maps.iter().map(|map| i32::from(map.max_rank())).collect();
    let mut rows = Rows {
        planes,
        transform,
        coded,
        progress,
    };
    match players.len() {
        0 => {}
        1 => rows.played::<1>(players, &tops)?,
        2 => rows.played::<2>(players, &tops)?,
        3 => rows.played::<3>(players, &tops)?,
        _ => rows.played::<4>(players, &tops)?,
    }
    Ok(maps)
}

/// What the head of a group says.
type Head = (Vec<ValueMap>, ColorTransform, Vec<Tables>);

fn read_head(
    head: &mut RangeBitDecoder<'_>,
    read_maps: impl FnOnce(&mut RangeBitDecoder<'_>) -> Result<Vec<ValueMap>>,
) -> Result<Head> {
    let maps = read_maps(head)?;
    let transform = ColorTransform::from_number(head.code_raw(0, 2)?, head.position())?;
    let tables = coded_channels(&maps)
        .iter()
        .map(|_| Tables::read(head))
        .collect::<Result<Vec<Tables>>>()?;
    Ok((maps, transform, tables))
}
