//! One block's content to its payload and back.

use crate::cm::ByteModel;
use crate::cm::advice::Advice;
use crate::cm::class::{FULL_CLASS, Full, STANDARD_CLASS, Standard};
use crate::own_lm;
use crate::payload::{self, ClassId, Form, Head};
use crate::prior::{self, InUse, OWN_NUMBER, Prior, SHIPPED};
use crate::probe;
use crate::settings::{Priors, Settings};
use rcodec_core::{Budget, Error, ModelId, PieceBuffer, Result};
use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};
use rcodec_llm::{Engine, Model as LanguageModel, Predictor};
use std::sync::Arc;

/// How many bytes are coded between two looks at the progress.
const STEP_BYTES: usize = 16 << 10;

/// Size of the table for a sample.
const PROBE_TABLE_BITS: u32 = 15;
/// Bytes of a sample for choosing a prior.
const PRIOR_SAMPLE_BYTES: usize = 3 << 10;
/// Bytes of a sample for asking whether a language model helps.
const FLUENT_SAMPLE_BYTES: usize = 2 << 10;
/// Size of the table for a small sample.
const SMALL_TABLE_BITS: u32 = 13;

/// Called with the number of bytes coded since the last call; an error stops
/// the work.
pub(crate) type Tick<'a> = &'a (dyn Fn(u64) -> Result<()> + Sync);

/// An upper estimate of the memory that a model takes, in bytes.
pub(crate) fn model_bytes(head: &Head, llm: Option<&LanguageModel>) -> u64 {
    match head.class {
        ClassId::Standard => Standard::bytes(&STANDARD_CLASS, head.table_bits),
        ClassId::Full => Full::bytes(&FULL_CLASS, head.table_bits),
        ClassId::Advised | ClassId::Fluent => {
            let advised = Full::bytes(&FULL_CLASS, head.table_bits) + Advice::<72>::bytes();
            advised + llm.map_or(0, Predictor::bytes)
        }
    }
}

/// Steps of the mixers for a block, for [`rcodec_core::Limits::max_work`].
pub(crate) fn work(head: &Head, llm: Option<&LanguageModel>) -> u64 {
    let products = match head.class {
        ClassId::Standard => 16 * 4,
        ClassId::Full => 72 * 14,
        ClassId::Advised | ClassId::Fluent => 72 * 16,
    };
    // For some bytes the network runs twice.
    let network = llm.map_or(0, |llm| 2 * llm.work());
    (head.content_bytes as u64).saturating_mul(network + 8 * products * 2)
}

/// The memory that a block's prior takes, if it may have one.
pub(crate) fn prior_bytes(class: ClassId, content_bytes: usize) -> u64 {
    if content_bytes <= class.most_primed_bytes() {
        Prior::BYTES
    } else {
        0
    }
}

/// The prior of a block, with its number.
type Chosen = (u8, InUse);

/// The payload of `content` (1 to 64 MiB): never more than one byte longer.
pub(crate) fn compress(
    content: &[u8],
    settings: &Settings,
    llm: Option<&Arc<LanguageModel>>,
    budget: &Budget,
    tick: Tick<'_>,
) -> Result<Vec<u8>> {
    if is_noise(content, budget)? {
        tick(content.len() as u64)?;
        return Ok(payload::stored(content));
    }
    let chosen = choose_prior(content, settings, budget)?;
    let prior = chosen.as_ref().map(|(_, in_use)| &in_use.prior);
    let own_lm = choose_own_lm(content, settings, prior, budget)?;
    let llm = own_lm.as_ref().or(llm);
    let head = Head {
        class: match own_lm {
            Some(_) => ClassId::Fluent,
            None => settings.class,
        },
        snapshot: chosen.as_ref().map_or(0, |chosen| chosen.0),
        table_bits: settings.table_bits(content.len()),
        content_bytes: content.len(),
    };
    let coded = match head.class {
        ClassId::Standard => encode_with(
            &mut Standard::new(&STANDARD_CLASS, head.table_bits, prior, budget)?,
            None,
            content,
            tick,
        )?,
        ClassId::Full => encode_full(content, head.table_bits, prior, None, budget, tick)?,
        ClassId::Advised | ClassId::Fluent => {
            let adviser = adviser(llm, budget)?;
            encode_full(content, head.table_bits, prior, Some(adviser), budget, tick)?
        }
    };
    let mut payload = Vec::new();
    head.write(&mut payload);
    if payload.len() + coded.len() > content.len() {
        return Ok(payload::stored(content));
    }
    payload.extend_from_slice(&coded);
    Ok(payload)
}

/// The prior that makes a sample of the content smaller than none does.
fn choose_prior(content: &[u8], settings: &Settings, budget: &Budget) -> Result<Option<Chosen>> {
    if content.len() > settings.class.most_primed_bytes() {
        prior::forget();
        return Ok(None);
    }
    let sample = probe::small_sample(content, PRIOR_SAMPLE_BYTES);
    let (number, id) = match settings.priors {
        Priors::None => return Ok(None),
        Priors::One { number, id } => (number, id),
        Priors::Shipped => match prior::best_shipped(&sample) {
            Some(best) => best,
            None => return Ok(None),
        },
    };
    let in_use = Prior::load(id, budget)?;
    let cost = |prior: Option<&Arc<Prior>>| {
        let mut model = Standard::new(&STANDARD_CLASS, SMALL_TABLE_BITS, prior, budget)?;
        encode_with(&mut model, None, &sample, &|_| Ok(())).map(|coded| coded.len())
    };
    let gains = cost(Some(&in_use.prior))? < cost(None)?;
    Ok(gains.then_some((number, in_use)))
}

/// Codes with a model of class 2, advised or not.
fn encode_full(
    content: &[u8],
    table_bits: u32,
    prior: Option<&Arc<Prior>>,
    adviser: Option<Predictor>,
    budget: &Budget,
    tick: Tick<'_>,
) -> Result<Vec<u8>> {
    let mut model = Full::new(&FULL_CLASS, table_bits, prior, budget)?;
    if adviser.is_some() {
        model.listen(budget)?;
    }
    encode_with(&mut model, adviser, content, tick)
}

/// The shipped language model, if it may be asked, is in reach, and makes a
/// sample of the content smaller by one percent.
fn choose_own_lm(
    content: &[u8],
    settings: &Settings,
    prior: Option<&Arc<Prior>>,
    budget: &Budget,
) -> Result<Option<Arc<LanguageModel>>> {
    if !settings.asks_own_lm || content.len() > own_lm::MOST_BYTES {
        return Ok(None);
    }
    let Ok(llm) = own_lm::shipped() else {
        return Ok(None);
    };
    let sample = probe::small_sample(content, FLUENT_SAMPLE_BYTES);
    let cost = |adviser| {
        let coded = encode_full(&sample, SMALL_TABLE_BITS, prior, adviser, budget, &|_| {
            Ok(())
        });
        coded.map(|coded| coded.len())
    };
    let advised = cost(Some(adviser(Some(&llm), budget)?))?;
    Ok((100 * advised < 99 * cost(None)?).then_some(llm))
}

/// Whether a model of a sample gains less than half a percent, and there are
/// no repeats.
fn is_noise(content: &[u8], budget: &Budget) -> Result<bool> {
    let Some(sample) = probe::sample(content) else {
        return Ok(false);
    };
    if probe::is_uneven(&sample) {
        return Ok(false);
    }
    let mut model = Standard::new(&STANDARD_CLASS, PROBE_TABLE_BITS, None, budget)?;
    let coded = encode_with(&mut model, None, &sample, &|_| Ok(()))?;
    Ok(coded.len() > sample.len() - sample.len() / 200 && !probe::has_repeats(content))
}

/// What a language model says of a content.
fn adviser(llm: Option<&Arc<LanguageModel>>, budget: &Budget) -> Result<Predictor> {
    let llm = llm.ok_or_else(|| Error::malformed(0, "a language model that no header names"))?;
    Predictor::new(llm, Engine::new(), budget)
}

fn encode_with(
    model: &mut impl ByteModel,
    mut adviser: Option<Predictor>,
    content: &[u8],
    tick: Tick<'_>,
) -> Result<Vec<u8>> {
    let mut coder = RangeBitEncoder::new();
    for (i, &byte) in content.iter().enumerate() {
        if let Some(adviser) = &adviser {
            model.advise(adviser.weights());
        }
        model.code(&mut coder, byte)?;
        model.advance(&content[..=i]);
        if let Some(adviser) = &mut adviser {
            adviser.advance(byte)?;
        }
        if (i + 1) % STEP_BYTES == 0 {
            tick(STEP_BYTES as u64)?;
        }
    }
    tick((content.len() % STEP_BYTES) as u64)?;
    Ok(coder.finish())
}

/// The content of a payload, or at least the first `wanted` bytes of it.
pub(crate) fn decompress(
    form: Form<'_>,
    wanted: u64,
    models: &Models,
    budget: &Budget,
    tick: Tick<'_>,
) -> Result<PieceBuffer> {
    let (head, coded, coded_at) = match form {
        Form::Stored(content) => {
            let mut buffer = PieceBuffer::new(content.len());
            let mut rest = content;
            buffer.take_from(&mut rest, budget)?;
            tick(content.len() as u64)?;
            return Ok(buffer);
        }
        Form::Modelled {
            head,
            coded,
            coded_at,
        } => (head, coded, coded_at),
    };
    let in_use = match prior_named(head.snapshot, models.prior(head.class))? {
        Some(id) => Some(Prior::load(id, budget)?),
        None => None,
    };
    let prior = in_use.as_ref().map(|in_use| &in_use.prior);
    let coded = Coded {
        bytes: coded,
        content_bytes: head.content_bytes,
        wanted_bytes: head
            .content_bytes
            .min(usize::try_from(wanted).unwrap_or(usize::MAX)),
    };
    let content = match head.class {
        ClassId::Standard => decode_with(
            &mut Standard::new(&STANDARD_CLASS, head.table_bits, prior, budget)?,
            None,
            coded,
            budget,
            tick,
        ),
        ClassId::Full => decode_with(
            &mut Full::new(&FULL_CLASS, head.table_bits, prior, budget)?,
            None,
            coded,
            budget,
            tick,
        ),
        ClassId::Advised | ClassId::Fluent => {
            let mut model = Full::new(&FULL_CLASS, head.table_bits, prior, budget)?;
            model.listen(budget)?;
            let llm = models.adviser(head.class)?;
            let adviser = adviser(llm.as_ref(), budget)?;
            decode_with(&mut model, Some(adviser), coded, budget, tick)
        }
    };
    content.map_err(|e| e.offset_by(coded_at))
}

/// The models that a stream's header names: a prior, a language model, or both
/// in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models(pub(crate) Vec<ModelId>);

impl Models {
    /// The prior of a block of that class.
    fn prior(&self, class: ClassId) -> Option<ModelId> {
        match (class, &self.0[..]) {
            (ClassId::Advised, [_]) => None,
            (_, models) => models.first().copied(),
        }
    }

    /// The language model that advises a class: the one named, or the shipped
    /// one.
    ///
    /// # Errors
    /// [`Error::ModelMissing`] if it is not loaded or not in reach.
    pub(crate) fn adviser(&self, class: ClassId) -> Result<Option<Arc<LanguageModel>>> {
        match class {
            ClassId::Standard | ClassId::Full => Ok(None),
            ClassId::Advised => {
                let id = self.0.last().copied();
                id.map(rcodec_llm::registry::find).transpose()
            }
            ClassId::Fluent => own_lm::shipped().map(Some),
        }
    }
}

/// The prior that a block's number stands for.
fn prior_named(number: u8, own: Option<ModelId>) -> Result<Option<ModelId>> {
    match number {
        0 => Ok(None),
        OWN_NUMBER => own
            .map(Some)
            .ok_or_else(|| Error::malformed(0, "a prior that the header does not name")),
        _ => match SHIPPED.get(usize::from(number) - 1) {
            Some(&id) => Ok(Some(id)),
            None => Err(Error::unsupported(
                "a text prior of a later version of the program",
            )),
        },
    }
}

/// What the range coder wrote, and what of it is to be decoded.
struct Coded<'a> {
    bytes: &'a [u8],
    content_bytes: usize,
    wanted_bytes: usize,
}

fn decode_with(
    model: &mut impl ByteModel,
    mut adviser: Option<Predictor>,
    coded: Coded<'_>,
    budget: &Budget,
    tick: Tick<'_>,
) -> Result<PieceBuffer> {
    let mut decoder = RangeBitDecoder::new(coded.bytes);
    let mut content = PieceBuffer::new(coded.wanted_bytes);
    for i in 0..coded.wanted_bytes {
        if let Some(adviser) = &adviser {
            model.advise(adviser.weights());
        }
        let byte = model.code(&mut decoder, 0)?;
        content.push(byte, budget)?;
        model.advance(content.bytes());
        if let Some(adviser) = &mut adviser {
            adviser.advance(byte)?;
        }
        if (i + 1) % STEP_BYTES == 0 {
            tick(STEP_BYTES as u64)?;
        }
    }
    tick((coded.wanted_bytes % STEP_BYTES) as u64)?;
    if coded.wanted_bytes == coded.content_bytes {
        decoder.finish()?;
    }
    Ok(content)
}
