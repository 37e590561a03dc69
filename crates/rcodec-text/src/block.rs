//! One block's content to its payload and back.

use crate::cm::class::{
    FULL_CLASS, FULL_CONTEXTS, FULL_INPUTS, STANDARD_CLASS, STANDARD_CONTEXTS, STANDARD_INPUTS,
};
use crate::cm::{ByteModel, LINE_BYTES, Model};
use crate::payload::{self, ClassId, Form, Head};
use crate::probe;
use crate::settings::Settings;
use crate::units::PieceBuffer;
use rcodec_core::{Budget, Error, Result};
use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

/// Class 1.
type Standard = Model<STANDARD_CONTEXTS, STANDARD_INPUTS>;
/// Class 2.
type Full = Model<FULL_CONTEXTS, FULL_INPUTS>;

/// How many bytes are coded between two looks at the progress.
const STEP_BYTES: usize = 16 << 10;

/// Size of the table for a sample.
const PROBE_TABLE_BITS: u32 = 15;

/// Called with the number of bytes coded since the last call; an error stops
/// the work.
pub(crate) type Tick<'a> = &'a (dyn Fn(u64) -> Result<()> + Sync);

/// An upper estimate of the memory that a model takes, in bytes.
pub(crate) fn model_bytes(head: &Head) -> u64 {
    let fixed = match head.class {
        ClassId::Standard => Standard::fixed_bytes(),
        ClassId::Full => Full::fixed_bytes(),
    };
    fixed + (LINE_BYTES << head.table_bits) + (8 << 20)
}

/// Steps of the mixers for a block, for [`rcodec_core::Limits::max_work`].
pub(crate) fn work(head: &Head) -> u64 {
    let inputs = match head.class {
        ClassId::Standard => STANDARD_INPUTS as u64,
        ClassId::Full => FULL_INPUTS as u64,
    };
    head.content_bytes as u64 * 8 * inputs * 2 * crate::cm::MIXERS as u64
}

/// The payload of `content` (1 to 64 MiB): never more than one byte longer.
pub(crate) fn compress(
    content: &[u8],
    settings: &Settings,
    budget: &Budget,
    tick: Tick<'_>,
) -> Result<Vec<u8>> {
    if is_noise(content, budget)? {
        tick(content.len() as u64)?;
        return Ok(payload::stored(content));
    }
    let head = Head {
        class: settings.class,
        snapshot: 0,
        table_bits: settings
            .table_bits
            .unwrap_or(settings.class.table_bits(content.len())),
        content_bytes: content.len(),
    };
    let coded = match head.class {
        ClassId::Standard => encode_with(
            &mut Standard::new(&STANDARD_CLASS, head.table_bits, budget)?,
            content,
            tick,
        )?,
        ClassId::Full => encode_with(
            &mut Full::new(&FULL_CLASS, head.table_bits, budget)?,
            content,
            tick,
        )?,
    };
    let mut payload = Vec::new();
    head.write(&mut payload);
    if payload.len() + coded.len() > content.len() {
        return Ok(payload::stored(content));
    }
    payload.extend_from_slice(&coded);
    Ok(payload)
}

/// Whether a model of a sample gains less than half a percent, and there are
/// no repeats.
fn is_noise(content: &[u8], budget: &Budget) -> Result<bool> {
    let Some(sample) = probe::sample(content) else {
        return Ok(false);
    };
    let mut model = Standard::new(&STANDARD_CLASS, PROBE_TABLE_BITS, budget)?;
    let coded = encode_with(&mut model, &sample, &|_| Ok(()))?;
    Ok(coded.len() > sample.len() - sample.len() / 200 && !probe::has_repeats(content))
}

fn encode_with(model: &mut impl ByteModel, content: &[u8], tick: Tick<'_>) -> Result<Vec<u8>> {
    let mut coder = RangeBitEncoder::new();
    for (i, &byte) in content.iter().enumerate() {
        model.code(&mut coder, byte)?;
        model.advance(&content[..=i]);
        if (i + 1) % STEP_BYTES == 0 {
            tick(STEP_BYTES as u64)?;
        }
    }
    tick((content.len() % STEP_BYTES) as u64)?;
    Ok(coder.finish())
}

/// The content of a payload.
pub(crate) fn decompress(form: Form<'_>, budget: &Budget, tick: Tick<'_>) -> Result<PieceBuffer> {
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
    if head.snapshot != 0 {
        return Err(Error::unsupported(
            "a text snapshot of a later version of the program",
        ));
    }
    let content = match head.class {
        ClassId::Standard => decode_with(
            &mut Standard::new(&STANDARD_CLASS, head.table_bits, budget)?,
            (&head, coded),
            budget,
            tick,
        ),
        ClassId::Full => decode_with(
            &mut Full::new(&FULL_CLASS, head.table_bits, budget)?,
            (&head, coded),
            budget,
            tick,
        ),
    };
    content.map_err(|e| e.offset_by(coded_at))
}

fn decode_with(
    model: &mut impl ByteModel,
    (head, coded): (&Head, &[u8]),
    budget: &Budget,
    tick: Tick<'_>,
) -> Result<PieceBuffer> {
    let mut decoder = RangeBitDecoder::new(coded);
    let mut content = PieceBuffer::new(head.content_bytes);
    for i in 0..head.content_bytes {
        let byte = model.code(&mut decoder, 0)?;
        content.push(byte, budget)?;
        model.advance(content.bytes());
        if (i + 1) % STEP_BYTES == 0 {
            tick(STEP_BYTES as u64)?;
        }
    }
    tick((head.content_bytes % STEP_BYTES) as u64)?;
    decoder.finish()?;
    Ok(content)
}
