//! What no bytes may do, whoever made them: the bodies of the fuzz targets in
//! `tests/fuzz`, and of the test that replays what they found.
//!
//! A check panics if a decoder does, if it keeps memory, or if a result is
//! wrong; that memory and time stay bounded is the fuzzer's business.

use crate::join;
use rcodec::{
    AudioBlock, AudioHeader, Budget, CodecId, ColorType, DecodeContext, Effort, EncodeContext,
    Error, ImageHeader, ImageStrip, Limits, MAGIC, Media, MediaHeader, MediaKind, PacketReader,
    Rate, Recovery, SampleFormat, Samples, StreamDecoder,
};
use rcodec_core::{Cursor, write_varint};
use rcodec_io::{ReadOptions, Sink, SourceKind};
use std::io::BufReader;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A property that all bytes must have.
pub type Check = fn(&[u8]);

/// All checks, by the names of their fuzz targets.
pub const CHECKS: &[(&str, Check)] = &[
    ("container", container),
    ("image_lossless", |data| {
        payloads(CodecId::IMAGE_LOSSLESS, data)
    }),
    ("image_lossy", |data| payloads(CodecId::IMAGE_LOSSY, data)),
    ("audio_lossless", |data| {
        payloads(CodecId::AUDIO_LOSSLESS, data)
    }),
    ("audio_lossy", |data| payloads(CodecId::AUDIO_LOSSY, data)),
    ("text", |data| payloads(CodecId::TEXT, data)),
    ("zstd", |data| payloads(CodecId::ZSTD, data)),
    ("packets", packets),
    ("recover", recover),
    ("model", model),
    ("source", source),
    ("round_trip", round_trip),
];

/// The check of that name.
pub fn check_named(name: &str) -> Option<Check> {
    let found = CHECKS.iter().find(|(other, _)| *other == name);
    found.map(|&(_, check)| check)
}

/// Little enough that a claim which is believed shows, and that no input takes
/// a fuzzer long.
fn limits() -> Limits {
    Limits {
        max_samples: 1 << 17,
        max_pixels: 1 << 15,
        max_alloc_bytes: 64 << 20,
        max_model_bytes: 16 << 20,
        max_work: 1 << 29,
    }
}

/// The media of a file, or what is wrong with it.
fn decoded(file: impl std::io::BufRead) -> Result<(MediaHeader, Option<Media>), Error> {
    let budget = Budget::new(limits());
    let context = DecodeContext {
        budget: budget.clone(),
        ..DecodeContext::default()
    };
    let result = (|| {
        let mut decoder = StreamDecoder::open(file, context)?;
        let header = decoder.header().media.clone();
        let mut units = Vec::new();
        while let Some(unit) = decoder.next_unit()? {
            units.push(unit);
        }
        decoder.finish()?;
        Ok((header, join(&units)))
    })();
    assert_eq!(budget.used_bytes(), 0, "memory is still charged");
    result
}

/// Any file gives the same however its bytes arrive, in one piece or in small
/// ones.
pub fn container(data: &[u8]) {
    let whole = decoded(data);
    let pieces = decoded(BufReader::with_capacity(7, data));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert!(whole == pieces),
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        (whole, pieces) => panic!("{:?}, in pieces {:?}", whole.err(), pieces.err()),
    }
}

/// A file of one codec whose block checksums are made right: what an attacker
/// writes, who can compute them, too.
pub fn payloads(codec: CodecId, data: &[u8]) {
    let _ = decoded(&repaired(data, codec)[..]);
}

/// A file with that codec in its lead byte. In the block form the blocks'
/// numbers, lengths and checks are made right; a block that is cut gets what
/// there is.
pub fn repaired(data: &[u8], codec: CodecId) -> Vec<u8> {
    let lead = 0x40 | data.get(3).copied().unwrap_or(0) & 0x30 | codec.0 as u8;
    let mut file = MAGIC.to_vec();
    file.push(lead);
    let mut rest = data.get(4..).unwrap_or_default();
    if lead & 0x20 == 0 {
        file.extend_from_slice(rest);
        return file;
    }
    let mut blocks = Vec::new();
    while let Some((kind, payload, after)) = split_block(rest) {
        blocks.push((kind, payload));
        rest = after;
    }
    append_blocks(&mut file, &blocks);
    file
}

/// Types of blocks, as in FORMAT.md.
pub mod block {
    /// The header fields.
    pub const HEADER: u8 = 1;
    /// A metadata list.
    pub const METADATA: u8 = 2;
    /// A codec's payload.
    pub const DATA: u8 = 3;
    /// Count of samples and content hash.
    pub const END: u8 = 4;
}

/// A file in the block form with these types and payloads, the header's first.
/// Numbers and checks are right, whatever the payloads claim. `flags` says
/// whether the header begins with a flags byte.
pub fn block_file(codec: CodecId, flags: bool, blocks: &[(u8, &[u8])]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.push(0x60 | u8::from(flags) << 4 | codec.0 as u8);
    append_blocks(&mut file, blocks);
    file
}

/// The head of a block with its check: type, number and length of the payload.
pub fn block_head(lead: u8, kind: u8, number: u64, len: u64) -> Vec<u8> {
    let mut head = vec![kind];
    write_varint(&mut head, number);
    write_varint(&mut head, len);
    let check = xxh3_64_with_seed(&head, u64::from(lead));
    head.extend_from_slice(&check.to_le_bytes()[..2]);
    head
}

/// Appends blocks, numbered from 1, to a file that so far ends in its lead byte.
fn append_blocks(file: &mut Vec<u8>, blocks: &[(u8, &[u8])]) {
    let lead = file.last().copied().unwrap_or_default();
    for (number, &(kind, payload)) in (1..).zip(blocks) {
        let start = file.len();
        file.extend(block_head(lead, kind, number, payload.len() as u64));
        file.extend_from_slice(payload);
        let check = xxh3_64_with_seed(&file[start..], u64::from(lead));
        file.extend_from_slice(&check.to_le_bytes());
    }
}

/// Where the blocks of a file in the block form stand, checks included; none in
/// the compact form.
pub fn blocks(file: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = match file {
        [_, _, _, lead, rest @ ..] if lead & 0x20 != 0 => rest,
        _ => &[],
    };
    while let Some((_, _, after)) = split_block(rest) {
        found.push(file.len() - rest.len()..file.len() - after.len());
        rest = after;
    }
    found
}

/// Kind and payload of the block that stands here, and what follows.
pub fn split_block(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut cursor = Cursor::new(bytes, 0);
    let kind = cursor.byte().ok()?;
    cursor.varint().ok()?;
    let len = cursor.varint().ok()?;
    cursor.take(2).ok()?;
    let rest = cursor.rest();
    let len = usize::try_from(len).map_or(rest.len(), |len| len.min(rest.len()));
    let (payload, rest) = rest.split_at(len);
    Some((kind, payload, rest.get(8..).unwrap_or_default()))
}

/// A stream of packets, a fifth of which do not arrive, gives sound or an error.
pub fn packets(data: &[u8]) {
    let Ok(mut reader) = PacketReader::new(data) else {
        return;
    };
    let mut arrived = 0;
    let mut samples = 0;
    let arrives = |arrived: &mut u32| {
        *arrived += 1;
        !arrived.is_multiple_of(5)
    };
    while let Ok(Some(more)) = reader.next_samples(|| arrives(&mut arrived)) {
        samples += more.len();
        if samples > 1 << 22 {
            break;
        }
    }
}

/// Damaged sound gives sound with silences, or an error.
pub fn recover(data: &[u8]) {
    let budget = Budget::new(limits());
    if let Ok(mut recovery) = Recovery::open(data, budget.clone()) {
        let mut samples = 0;
        while let Ok(Some(unit)) = recovery.next_unit() {
            let Media::Audio(block) = unit else {
                panic!("sound gives something else");
            };
            samples += block.samples.len();
            if samples > 1 << 22 {
                break;
            }
        }
    }
    assert_eq!(budget.used_bytes(), 0, "memory is still charged");
}

/// A model file with the hash that its bytes have is refused, or its networks
/// can be built.
pub fn model(data: &[u8]) {
    use rcodec_model::file::{HEAD_BYTES, MAGIC};
    if data.len() < HEAD_BYTES {
        return;
    }
    let mut file = data.to_vec();
    file[..3].copy_from_slice(&MAGIC);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file[..4]).update(&file[HEAD_BYTES..]);
    file[4..HEAD_BYTES].copy_from_slice(hasher.finalize().as_bytes());
    let budget = Budget::new(limits());
    if let Ok(model) = rcodec_model::Model::read(&file, &budget) {
        for (graph, _) in model.graphs() {
            let _ = rcodec_model::run::Network::new(&model, &graph.name, &budget);
        }
    }
    assert_eq!(budget.used_bytes(), 0, "memory is still charged");
}

/// What a reader of foreign files gives is enough to write the file again: bit
/// for bit, or the same pixels for pictures. The first byte says how it is
/// read.
pub fn source(data: &[u8]) {
    let Some((&how, file)) = data.split_first() else {
        return;
    };
    let options = ReadOptions {
        pixels: how & 1 != 0,
        transcode: how & 2 != 0,
        ..ReadOptions::default()
    };
    let budget = Budget::new(limits());
    let Ok(first) = read(file, &options, &budget) else {
        return;
    };
    let written = write(&first, &budget);
    let is_decoded_sound = options.transcode && first.header.kind() == MediaKind::Audio;
    match first.header.kind() {
        MediaKind::Image => {
            let again = read(&written, &options, &budget).expect("what was written is read");
            assert!(first.header == again.header, "another header");
            assert!(first.media == again.media, "other pixels");
        }
        _ if is_decoded_sound && is_compressed_sound(first.kind) => {}
        _ => assert!(written == file, "another file"),
    }
}

fn is_compressed_sound(kind: SourceKind) -> bool {
    use SourceKind::{Aac, Flac, Mp3, Mp4, Ogg};
    matches!(kind, Flac | Mp3 | Ogg | Mp4 | Aac)
}

/// A file that has been read.
struct Opened {
    kind: SourceKind,
    header: MediaHeader,
    metadata: rcodec::Metadata,
    tail: rcodec::Metadata,
    media: Option<Media>,
}

fn read(file: &[u8], options: &ReadOptions, budget: &Budget) -> Result<Opened, Error> {
    let reader = Box::new(std::io::Cursor::new(file.to_vec()));
    let mut source = rcodec_io::open(reader, options, budget)?;
    let mut units = Vec::new();
    let mut samples = 0;
    while let Some(unit) = source.next_unit()? {
        samples += unit_samples(&unit);
        if samples > 1 << 22 {
            return Err(Error::Limit("samples"));
        }
        units.push(unit);
    }
    Ok(Opened {
        kind: source.kind(),
        header: source.header().clone(),
        metadata: source.metadata().clone(),
        tail: source.tail_metadata().clone(),
        media: join(&units),
    })
}

fn unit_samples(unit: &Media) -> usize {
    match unit {
        Media::Bytes(bytes) => bytes.len(),
        Media::Audio(block) => block.samples.len(),
        Media::Image(strip) => strip.samples.len(),
        _ => 0,
    }
}

fn write(opened: &Opened, budget: &Budget) -> Vec<u8> {
    let mut written = Vec::new();
    let format = rcodec_io::restore_format(&opened.header, &opened.metadata);
    let sink = Sink::Stream(Box::new(&mut written));
    let mut writer = rcodec_io::create(format, &opened.header, &opened.metadata, sink, budget)
        .expect("what was read can be written");
    if let Some(media) = opened.media.clone() {
        writer.write(media).expect("what was read can be written");
    }
    writer
        .finish(&opened.tail)
        .expect("what was read can be written");
    written
}

/// Media drawn from the bytes, encoded at an effort drawn from them, comes
/// back; lossy media as the encoder foretold, which the content's checksum
/// covers.
pub fn round_trip(data: &[u8]) {
    let Some((&[kind, effort, a, b, c], rest)) = data.split_first_chunk() else {
        return;
    };
    let (header, unit) = match kind % 3 {
        0 => picture_of([a, b, c], rest),
        1 => sound_of([a, b, c], rest),
        _ => (MediaHeader::Bytes, Media::Bytes(rest.to_vec())),
    };
    let unit = (unit_samples(&unit) > 0).then_some(unit);
    let fitting: Vec<_> = rcodec::CODECS
        .iter()
        .filter(|codec| codec.info().media == header.kind())
        .collect();
    let codec = fitting[usize::from(kind / 3) % fitting.len()];
    let info = codec.info();
    let context = EncodeContext {
        effort: Effort::new(1 + effort % 9).expect("1 to 9"),
        rate: if info.lossy {
            Rate::Quality(f32::from(1 + effort % 100))
        } else {
            Rate::Lossless
        },
        ..EncodeContext::default()
    };
    let file = match rcodec::encode(*codec, &header, unit.clone(), context) {
        Ok(file) => file,
        // Not every codec takes all that its kind of media can be.
        Err(Error::Unsupported(_) | Error::Parameter(_)) => return,
        Err(error) => panic!("{} does not encode: {error}", info.name),
    };
    let (decoded_header, decoded_unit) =
        crate::decode(&file).unwrap_or_else(|e| panic!("{} does not decode: {e}", info.name));
    assert!(decoded_header == header);
    assert!(
        info.lossy || decoded_unit == unit,
        "{}: other samples",
        info.name
    );
}

/// A picture of at most 64 by 64 whose samples are the bytes, again and again.
fn picture_of([size, shape, colors]: [u8; 3], bytes: &[u8]) -> (MediaHeader, Media) {
    const COLORS: [ColorType; 5] = [
        ColorType::Rgb,
        ColorType::Gray,
        ColorType::GrayAlpha,
        ColorType::Rgba,
        ColorType::Indexed,
    ];
    let color = COLORS[usize::from(colors) % COLORS.len()];
    let bits = match color {
        ColorType::Indexed => 1 + colors / 5 % 8,
        _ => [8, 16, 1, 2, 4, 10, 12, 15][usize::from(colors / 5 % 8)],
    };
    let header = ImageHeader {
        width: u32::from(size % 64) + 1,
        height: u32::from(shape % 64) + 1,
        color,
        bits,
        palette: match color {
            ColorType::Indexed => (0..=shape)
                .map(|i| [i, size, i ^ 90, 255 - i / 2])
                .collect(),
            _ => Vec::new(),
        },
    };
    let mask = ((1u32 << bits) - 1) as u16;
    let mut values = bytes.iter().cycle().copied();
    let count = header.total_samples() as usize;
    let mut next = || values.next().unwrap_or(0);
    let samples = if bits <= 8 {
        Samples::U8((0..count).map(|_| next() & mask as u8).collect())
    } else {
        let wide = (0..count).map(|_| u16::from_le_bytes([next(), next()]) & mask);
        Samples::U16(wide.collect())
    };
    let rows = header.height;
    (
        MediaHeader::Image(header),
        Media::Image(ImageStrip { rows, samples }),
    )
}

/// Sound of the bytes' bits.
fn sound_of([channels, format, rate]: [u8; 3], bytes: &[u8]) -> (MediaHeader, Media) {
    let channels = usize::from(channels % 9) + 1;
    let (format, width) = match format % 8 {
        0 => (SampleFormat::Int { bits: 24 }, 3),
        1 => (SampleFormat::Float32, 4),
        2 => (SampleFormat::Int { bits: 8 }, 1),
        3 => (SampleFormat::Int { bits: 32 }, 4),
        4 => (
            SampleFormat::Int {
                bits: 1 + format / 8,
            },
            4,
        ),
        _ => (SampleFormat::Int { bits: 16 }, 2),
    };
    let shift = 32 - u32::from(format.bits());
    let mut samples: Vec<i32> = bytes
        .chunks_exact(width)
        .map(|sample| {
            let mut high = [0; 4];
            high[4 - width..].copy_from_slice(sample);
            i32::from_le_bytes(high) >> shift
        })
        .collect();
    samples.truncate(samples.len() / channels * channels);
    let header = AudioHeader {
        sample_rate: 1 + u32::from(rate) * 1000,
        channels: channels as u16,
        format,
    };
    (
        MediaHeader::Audio(header),
        Media::Audio(AudioBlock { samples }),
    )
}
