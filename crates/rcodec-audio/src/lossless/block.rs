//! Blocks: a header, then range-coded residuals channel by channel. Every
//! block decodes by itself.
//!
//! ```text
//! mode      1 byte   bits 0–1: 0 verbatim, 1 predicted, 2 linear; bit 2: frames follow
//! frames    varint   if bit 2 is set; otherwise a full block
//! verbatim:          samples, interleaved, packed to the bits of the format
//! predicted:
//!   preset  1 byte   parameters of the prediction
//!   form             of floats, if the format is float (`float`)
//!   plans            one per channel (`structure`)
//!   payload          for each coded channel in order: its set of levels if it
//!                    is sparse, then its residuals; one range coder for all
//! linear: as predicted, but without a preset; the payload is described in
//!         `linear`, and one ANS coder codes all of it
//! ```
//!
//! Channels are coded one after the other, so that the later ones see all of
//! the earlier ones, what is still to come included.

use super::channel::{ChannelPass, Places};
use super::decision_mixer::{DecisionMixer, NarrowMixer, QuickMixer, WideMixer};
use super::float::FloatForm;
use super::learning::Notes;
use super::linear::LinearPass;
use super::packing;
use super::predictor::{Plane, Predictor};
use super::preset::{FAST_PRESETS, Mixing, Preset};
use super::reference::{Magnitudes, choose_reference};
use super::structure::{ChannelPlan, CodedPlan, LevelSet};
use super::trial;
use rcodec_core::{Budget, Cursor, Effort, Error, Reservation, Result, SampleFormat, write_varint};
use rcodec_entropy::{AnsDecoder, AnsEncoder, BitCoder, RangeBitDecoder, RangeBitEncoder};
use rcodec_fixed::{Engine, Work};

const MODE_VERBATIM: u8 = 0;
const MODE_PREDICTED: u8 = 1;
const MODE_LINEAR: u8 = 2;
const MODE_MASK: u8 = 3;
const FLAG_FRAMES: u8 = 4;

/// Samples and the memory charged for them.
pub(crate) type Charged = (Vec<i32>, Reservation);

/// What all blocks of a stream share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) channels: usize,
    pub(crate) format: SampleFormat,
    /// Frames of every block but the last.
    pub(crate) block_frames: usize,
}

/// How the samples of a block are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Predictors that are sent, frozen tables: fast.
    Linear,
    /// Everything adapts; the number of a [`Preset`].
    Preset(u8),
    /// The same, with the best of several presets for each block.
    Best(&'static [u8]),
}

impl Method {
    /// The method that an effort uses for so many samples a second. Where they
    /// are few (speech), there is time for more, and short memories pay.
    pub(crate) fn for_effort(effort: Effort, samples_per_second: u64) -> Method {
        let slow = samples_per_second <= 48_000;
        match effort.get() {
            1 => Method::Linear,
            2 => Method::Preset(1),
            3 => Method::Preset(2),
            4..=6 if slow => Method::Preset(6),
            4..=6 => Method::Best(&FAST_PRESETS),
            7..=8 => Method::Preset(if slow { 7 } else { 4 }),
            _ => Method::Preset(if slow { 7 } else { 5 }),
        }
    }
}

/// Encodes a block of interleaved samples that fit the format.
pub(crate) fn encode_block(samples: &[i32], layout: &Layout, method: Method) -> Vec<u8> {
    let frames = samples.len() / layout.channels;
    let mut header = vec![0];
    if frames != layout.block_frames {
        header[0] |= FLAG_FRAMES;
        write_varint(&mut header, frames as u64);
    }
    let mut packed = header.clone();
    packed[0] |= MODE_VERBATIM;
    header[0] |= match method {
        Method::Linear => MODE_LINEAR,
        Method::Preset(_) | Method::Best(_) => MODE_PREDICTED,
    };
    let predicted = encode_predicted(samples, layout, method, header, None);
    let verbatim_len = packed.len() + packing::packed_len(samples.len(), layout.format.bits());
    if predicted.len() < verbatim_len {
        return predicted;
    }
    packing::pack(samples, layout.format.bits(), &mut packed);
    packed
}

fn encode_predicted(
    samples: &[i32],
    layout: &Layout,
    method: Method,
    mut out: Vec<u8>,
    notes: Option<&mut Notes>,
) -> Vec<u8> {
    let frames = samples.len() / layout.channels;
    let form = (layout.format == SampleFormat::Float32).then(|| FloatForm::choose(samples));
    let mut planes = planes_of(samples, layout, form);
    let plans = plan_channels(&mut planes);
    let number = match method {
        Method::Linear => None,
        Method::Preset(number) => Some(number),
        Method::Best(numbers) => trial::choose(numbers, &planes, &plans),
    };
    out.extend(number);
    if let Some(form) = form {
        form.write(&mut out);
    }
    plans.iter().for_each(|plan| plan.write(&mut out));
    let preset = number.and_then(Preset::by_number);
    let mut blocks = BlockCoder::new(preset.as_ref(), &plans, frames, notes);
    let payload = if preset.is_none() {
        let mut encoder = AnsEncoder::new();
        blocks.encode(&mut encoder, &mut planes);
        encoder.finish()
    } else {
        let mut encoder = RangeBitEncoder::new();
        blocks.encode(&mut encoder, &mut planes);
        encoder.finish()
    };
    out.extend_from_slice(&payload);
    out
}

/// Encodes a block for what it shows.
pub(crate) fn learn_block(samples: &[i32], layout: &Layout, method: Method, notes: &mut Notes) {
    encode_predicted(samples, layout, method, Vec::new(), Some(notes));
}

/// The channels of interleaved samples.
fn planes_of(samples: &[i32], layout: &Layout, form: Option<FloatForm>) -> Vec<Plane> {
    let mut planes = Vec::new();
    for channel in 0..layout.channels {
        let mut plane = Plane::new(samples.len() / layout.channels);
        let source = samples.iter().skip(channel).step_by(layout.channels);
        for (to, &from) in plane.samples_mut().iter_mut().zip(source) {
            *to = form.map_or(from, |form| form.integer(from));
        }
        planes.push(plane);
    }
    planes
}

/// Finds the structure of each channel and turns its samples into levels.
fn plan_channels(planes: &mut [Plane]) -> Vec<ChannelPlan> {
    let mut plans: Vec<ChannelPlan> = Vec::new();
    for channel in 0..planes.len() {
        let (earlier, rest) = planes.split_at_mut(channel);
        let samples = rest[0].samples_mut();
        let first = samples.first().copied().unwrap_or(0);
        if samples.iter().all(|&sample| sample == first) {
            plans.push(ChannelPlan::Constant(first));
            continue;
        }
        let mut levels = samples.to_vec();
        let mut plan = CodedPlan::analyse(&mut levels);
        let copied = (0..channel).rev().take(8).find(|&other| {
            let same_plan = matches!(&plans[other], ChannelPlan::Coded(p)
                if (p.step, p.offset, p.min, p.max) == (plan.step, plan.offset, plan.min, plan.max));
            same_plan && earlier[other].samples() == levels
        });
        samples.copy_from_slice(&levels);
        if let Some(other) = copied {
            plans.push(ChannelPlan::Copy(other));
            continue;
        }
        plan.reference = choose_reference(&plans, earlier, &levels);
        plans.push(ChannelPlan::Coded(plan));
    }
    plans
}

/// Codes the channels of a block in either direction.
struct BlockCoder<'a> {
    /// None for linear prediction.
    preset: Option<&'a Preset>,
    plans: &'a [ChannelPlan],
    frames: usize,
    /// Magnitudes of the residuals of channels that others refer to.
    magnitudes: Vec<Option<Magnitudes>>,
    engine: Engine,
    /// Where to note what blocks show.
    notes: Option<&'a mut Notes>,
}

impl<'a> BlockCoder<'a> {
    fn new(
        preset: Option<&'a Preset>,
        plans: &'a [ChannelPlan],
        frames: usize,
        notes: Option<&'a mut Notes>,
    ) -> Self {
        let mut magnitudes: Vec<Option<Magnitudes>> = plans.iter().map(|_| None).collect();
        for plan in plans {
            if let ChannelPlan::Coded(CodedPlan {
                reference: Some(channel),
                ..
            }) = plan
            {
                magnitudes[*channel] = Some(Magnitudes::default());
            }
        }
        BlockCoder {
            preset,
            plans,
            frames,
            magnitudes,
            engine: Engine::new(),
            notes,
        }
    }

    fn encode<C: BitCoder>(&mut self, encoder: &mut C, planes: &mut [Plane]) {
        for channel in 0..planes.len() {
            // Encoders do not fail.
            let _ = self.code_channel(encoder, channel, planes);
        }
    }

    fn decode<C: BitCoder>(&mut self, decoder: &mut C, planes: &mut [Plane]) -> Result<()> {
        (0..planes.len()).try_for_each(|channel| self.code_channel(decoder, channel, planes))
    }

    /// Codes the levels of one channel, if it is one that is coded.
    fn code_channel<C: BitCoder>(
        &mut self,
        coder: &mut C,
        channel: usize,
        planes: &mut [Plane],
    ) -> Result<()> {
        let ChannelPlan::Coded(plan) = &self.plans[channel] else {
            return Ok(());
        };
        let (earlier, rest) = planes.split_at_mut(channel);
        let own = &mut rest[0];
        let reference = plan.reference.map(|other| &earlier[other]);
        let reference_magnitudes = plan
            .reference
            .and_then(|other| self.magnitudes[other].as_ref());
        let mut magnitudes = self.magnitudes[channel]
            .is_some()
            .then(|| Magnitudes::new(self.frames));
        let set = if plan.sparse {
            let known =
                (!C::DECODES).then(|| LevelSet::from_levels(own.samples(), plan.min, plan.max));
            Some(LevelSet::code(coder, plan.min, plan.max, known.as_ref())?)
        } else {
            None
        };
        let places = Places::new(plan.min, plan.max, set.as_ref());
        let Some(preset) = self.preset else {
            let frames = self.frames;
            let pass = LinearPass {
                coder,
                places,
                own,
                reference,
                frames,
                listener: (),
            };
            return match &mut self.notes {
                None => self.engine.run_wide(pass),
                Some(notes) => pass.with(&mut **notes).run(),
            };
        };
        let pass = ChannelPass {
            coder,
            places,
            predictor: Predictor::new(preset, reference.is_some(), plan.history_shift),
            own,
            reference,
            reference_magnitudes,
            magnitudes: magnitudes.as_mut(),
            frames: self.frames,
            notes: self.notes.as_deref_mut(),
        };
        match preset.mixing {
            Mixing::Quick => self.engine.run_wide(pass.with(QuickMixer::new())),
            Mixing::Narrow => self.engine.run_wide(pass.with(NarrowMixer::new())),
            Mixing::Wide => self.engine.run_wide(pass.with(WideMixer::new())),
        }?;
        self.magnitudes[channel] = magnitudes;
        Ok(())
    }
}

/// Decodes a block into interleaved samples, which stay charged as long as the
/// reservation lives. Offsets in errors are those within the block.
pub(crate) fn decode_block(payload: &[u8], layout: &Layout, budget: &Budget) -> Result<Charged> {
    let mut reader = Cursor::new(payload, 0);
    let mode = reader.byte()?;
    if mode & !(MODE_MASK | FLAG_FRAMES) != 0 {
        return Err(Error::malformed(0, "mode of block"));
    }
    let mut frames = layout.block_frames as u64;
    if mode & FLAG_FRAMES != 0 {
        frames = reader.varint_in(1..=frames, "frames of block")?;
    }
    match mode & MODE_MASK {
        MODE_VERBATIM => decode_verbatim(reader, layout, frames, budget),
        MODE_PREDICTED => {
            let at = reader.at();
            let preset = Preset::by_number(reader.byte()?)
                .ok_or_else(|| Error::malformed(at, "number of a preset"))?;
            decode_predicted(reader, Some(&preset), layout, frames, budget)
        }
        MODE_LINEAR => decode_predicted(reader, None, layout, frames, budget),
        _ => Err(Error::malformed(0, "mode of block")),
    }
}

fn decode_verbatim(
    mut reader: Cursor,
    layout: &Layout,
    frames: u64,
    budget: &Budget,
) -> Result<Charged> {
    let count = frames * layout.channels as u64;
    let bits = layout.format.bits();
    let packed = reader.take((count * u64::from(bits)).div_ceil(8))?;
    if !reader.rest().is_empty() {
        return Err(Error::malformed(
            reader.at(),
            "bytes behind the last sample",
        ));
    }
    let (mut samples, reservation) = budget.filled(0, count)?;
    packing::unpack(packed, bits, &mut samples);
    Ok((samples, reservation))
}

/// Bytes that one channel's coder may need.
const CHANNEL_STATE_BYTES: u64 = 1 << 22;

fn decode_predicted(
    mut reader: Cursor,
    preset: Option<&Preset>,
    layout: &Layout,
    frames: u64,
    budget: &Budget,
) -> Result<Charged> {
    let form = match layout.format {
        SampleFormat::Float32 => Some(FloatForm::read(&mut reader)?),
        SampleFormat::Int { .. } => None,
    };
    let mut plans = Vec::new();
    let _plans_reservation = budget.reserve_for::<ChannelPlan>(layout.channels as u64)?;
    for _ in 0..layout.channels {
        // A plan takes at least two bytes, so a short block ends this early.
        let plan = ChannelPlan::read(&mut reader, layout.format.bits(), frames, &plans)?;
        plans.push(plan);
    }
    let count = frames * layout.channels as u64;
    let _state_reservation = budget.reserve(CHANNEL_STATE_BYTES)?;
    // Planes with their margins, and magnitudes.
    let margins = 2 * super::predictor::MARGIN as u64 * layout.channels as u64;
    let _planes_reservation = budget.reserve_for::<[i32; 2]>(count + margins)?;
    let (mut samples, reservation) = budget.filled(0, count)?;
    let frames = frames as usize;
    let base = reader.at();
    let mut planes: Vec<Plane> = plans
        .iter()
        .map(|plan| match plan {
            ChannelPlan::Coded(_) => Plane::new(frames),
            _ => Plane::default(),
        })
        .collect();
    let mut blocks = BlockCoder::new(preset, &plans, frames, None);
    let decoded = if preset.is_none() {
        AnsDecoder::new(reader.rest()).and_then(|mut decoder| {
            blocks.decode(&mut decoder, &mut planes)?;
            decoder.finish()
        })
    } else {
        let mut decoder = RangeBitDecoder::new(reader.rest());
        blocks
            .decode(&mut decoder, &mut planes)
            .and_then(|()| decoder.finish())
    };
    decoded.map_err(|error| error.offset_by(base))?;
    for channel in 0..plans.len() {
        restore(&mut samples, layout, &plans, &planes, channel);
    }
    if let Some(form) = form {
        for sample in &mut samples {
            *sample = form
                .float(*sample)
                .ok_or_else(|| Error::malformed(base, "sample that is not a float"))?;
        }
    }
    Ok((samples, reservation))
}

/// Turns the levels of a channel back into interleaved samples.
fn restore(
    samples: &mut [i32],
    layout: &Layout,
    plans: &[ChannelPlan],
    planes: &[Plane],
    channel: usize,
) {
    let targets = samples.iter_mut().skip(channel).step_by(layout.channels);
    match &plans[channel] {
        ChannelPlan::Constant(value) => targets.for_each(|target| *target = *value),
        ChannelPlan::Coded(plan) => {
            for (target, &level) in targets.zip(planes[channel].samples()) {
                *target = plan.sample(level);
            }
        }
        ChannelPlan::Copy(other) => {
            for frame in samples.chunks_exact_mut(layout.channels) {
                frame[channel] = frame[*other];
            }
        }
    }
}
