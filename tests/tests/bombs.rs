//! Small files that claim to be large: every one is refused before memory or
//! time is spent on the claim.
//!
//! `cargo test -p rcodec-tests --test bombs -- --nocapture` prints what each
//! took.

use peak_alloc::PeakAlloc;
use rcodec::{
    Budget, CodecId, ColorType, DecodeContext, Error, Latency, Limits, MediaKind, PacketReader,
    Recovery, StreamDecoder,
};
use rcodec_core::write_varint;
use rcodec_io::ReadOptions;
use rcodec_tests::all_samples;
use rcodec_tests::hostile::{block, block_file, block_head, blocks, split_block};
use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a refusal may take beyond the file itself.
const MEMORY_BYTES: usize = 64 << 20;

/// A refusal takes milliseconds; this leaves room for a busy machine and a
/// program that is not optimised.
const TIME: Duration = Duration::from_secs(2);

/// What a service might allow strangers.
fn limits() -> Limits {
    Limits {
        max_samples: 1 << 26,
        max_pixels: 1 << 24,
        max_alloc_bytes: 48 << 20,
        max_model_bytes: 4 << 20,
        max_work: 1 << 34,
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
enum Door {
    Decoder,
    Recovery,
    Packets,
    Source,
}

struct Bomb {
    door: Door,
    name: String,
    file: Vec<u8>,
    /// Whether what the file really has is taken, instead of an error.
    is_read: bool,
}

impl Bomb {
    fn new(door: Door, name: impl Into<String>, file: Vec<u8>) -> Self {
        Bomb {
            door,
            name: name.into(),
            file,
            is_read: false,
        }
    }
}

/// Opens the file and takes all that comes out; what it ends with. A source
/// that is no picture and no sound is bytes to be kept: a refusal, too.
fn open(bomb: &Bomb, budget: &Budget) -> Result<(), Error> {
    let file = &bomb.file[..];
    match bomb.door {
        Door::Decoder => {
            let context = DecodeContext {
                budget: budget.clone(),
                ..DecodeContext::default()
            };
            let mut decoder = StreamDecoder::open(file, context)?;
            while decoder.next_unit()?.is_some() {}
            decoder.finish().map(|_| ())
        }
        Door::Recovery => {
            let mut recovery = Recovery::open(file, budget.clone())?;
            while recovery.next_unit()?.is_some() {}
            Ok(())
        }
        Door::Packets => {
            let mut reader = PacketReader::new(file)?;
            while reader.next_samples(|| true)?.is_some() {}
            Ok(())
        }
        Door::Source => {
            let options = ReadOptions {
                pixels: true,
                transcode: true,
                ..ReadOptions::default()
            };
            let reader = Box::new(Cursor::new(file.to_vec()));
            let mut source = rcodec_io::open(reader, &options, budget)?;
            let is_bytes = source.header().kind() == MediaKind::Bytes;
            while source.next_unit()?.is_some() {}
            if is_bytes {
                return Err(Error::unsupported("kept as bytes"));
            }
            Ok(())
        }
    }
}

fn varints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &value in values {
        write_varint(&mut bytes, value);
    }
    bytes
}

/// A file in the block form whose header has parameters.
fn with_params(codec: CodecId, media: &[u8], params: &[u8], payloads: &[&[u8]]) -> Vec<u8> {
    let mut header = vec![1];
    header.extend_from_slice(media);
    write_varint(&mut header, params.len() as u64);
    header.extend_from_slice(params);
    let mut blocks = vec![(block::HEADER, &header[..])];
    blocks.extend(payloads.iter().map(|&payload| (block::DATA, payload)));
    // So that the file is whole: a count of samples and a hash.
    blocks.push((block::END, &[0; 9]));
    block_file(codec, true, &blocks)
}

fn picture(width: u64, height: u64, color: ColorType, bits: u8) -> Vec<u8> {
    let mut media = varints(&[width, height]);
    media.push(color as u8 * 16 + bits - 1);
    media
}

fn sound(channels: u64, format: u8) -> Vec<u8> {
    let mut media = varints(&[48_000, channels]);
    media.push(format);
    media
}

/// What claims much in the container, whatever the codec.
fn container() -> Vec<Bomb> {
    let text = CodecId::TEXT;
    let empty_header: (u8, &[u8]) = (block::HEADER, &[]);
    let metadata = |list: &[u8]| block_file(text, false, &[empty_header, (block::METADATA, list)]);
    let packed = |claimed: u64, content: &[u8]| {
        let frame = zstd::bulk::compress(content, 19).unwrap();
        let mut list = vec![1];
        write_varint(&mut list, claimed);
        list.extend_from_slice(&frame[4..]);
        metadata(&list)
    };
    // Two bytes for each item of nothing.
    let items = vec![0; 8 << 20];
    let mut open_ended = block_file(text, false, &[empty_header]);
    open_ended.extend(block_head(0x64, block::DATA, 2, 1 << 30));
    let models = |count: u64| {
        let mut header = vec![2];
        write_varint(&mut header, count);
        block_file(text, true, &[(block::HEADER, &header)])
    };
    let params = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
    let mut compact = rcodec::MAGIC.to_vec();
    compact.push(0x44);
    compact.extend(varints(&[1 << 24]));
    let decoder = |name, file| Bomb::new(Door::Decoder, name, file);
    vec![
        decoder("a block of 2^30 bytes", open_ended),
        decoder("a compact body of 2^24 bytes", compact),
        decoder("2^60 models", models(1 << 60)),
        decoder(
            "parameters of 2^40 bytes",
            block_file(text, true, &[(block::HEADER, &params)]),
        ),
        decoder("metadata that claims 2^40 bytes", packed(1 << 40, b"")),
        decoder("metadata, 2^22 items of nothing", packed(8 << 20, &items)),
        decoder(
            "an ICC profile of 2^40 bytes",
            metadata(&[&[0][..], &varints(&[16, 1 << 40])].concat()),
        ),
        decoder(
            "an ICC profile that inflates to 2^28",
            packed(
                (1 << 28) + 6,
                &[&varints(&[16, 1 << 28])[..], &vec![0; 1 << 28]].concat(),
            ),
        ),
    ]
}

/// Headers and payloads that claim much, by codec.
fn codecs() -> Vec<Bomb> {
    use ColorType::{Rgb, Rgba};
    let mut bombs = Vec::new();
    let mut add = |name, file| bombs.push(Bomb::new(Door::Decoder, name, file));
    let groups = |rows: u64| [&[0][..], &varints(&[rows])].concat();
    let edge = u64::from(u32::MAX);
    for (name, codec) in [
        ("image-lossless", CodecId::IMAGE_LOSSLESS),
        ("image-lossy", CodecId::IMAGE_LOSSY),
    ] {
        add(
            format!("{name}, 2^64 pixels"),
            with_params(codec, &picture(edge, edge, Rgb, 8), &groups(1), &[&[1]]),
        );
    }
    for mode in 0..5 {
        add(
            format!("image-lossless, a row of 2^24 pixels, mode {mode}"),
            with_params(
                CodecId::IMAGE_LOSSLESS,
                &picture(1 << 24, 1, Rgba, 16),
                &groups(1),
                &[&[mode, 0, 0, 0]],
            ),
        );
        add(
            format!("image-lossless, a group of 2^24 pixels, mode {mode}"),
            with_params(
                CodecId::IMAGE_LOSSLESS,
                &picture(4096, 4096, Rgb, 8),
                &groups(4096),
                &[&[mode, 0, 0, 0]],
            ),
        );
    }
    for mode in 0..3 {
        add(
            format!("audio-lossless, 2^60 frames a block, mode {mode}"),
            with_params(
                CodecId::AUDIO_LOSSLESS,
                &sound(2, 16),
                &varints(&[1 << 60]),
                &[&[mode, 5]],
            ),
        );
        add(
            format!("audio-lossless, 65,535 channels, mode {mode}"),
            with_params(
                CodecId::AUDIO_LOSSLESS,
                &sound(65_535, 32),
                &varints(&[32]),
                &[&[mode, 5]],
            ),
        );
    }
    for (frames, what) in [(1025, "1025 frames"), (1 << 60, "2^60 frames")] {
        let params = [&varints(&[4096, 100, 10, 10])[..], &[1, 2, 3, 4]].concat();
        add(
            format!("audio-lossy, 256 channels, {what}"),
            with_params(
                CodecId::AUDIO_LOSSY,
                &sound(256, 16),
                &params,
                &[&varints(&[frames, 0])],
            ),
        );
    }
    for (name, first, bytes) in [
        ("a table of 2^24 lines", 0x0a, 1000),
        ("2^26 bytes", 0x02, 1 << 26),
    ] {
        let mut payload = vec![first];
        payload.extend(varints(&[bytes]));
        payload.push(24);
        add(
            format!("text, {name}"),
            block_file(
                CodecId::TEXT,
                false,
                &[(block::HEADER, &[]), (block::DATA, &payload)],
            ),
        );
    }
    // Blocks of one byte again and again: 2^17 bytes from four, for ever.
    let mut repeats = vec![4 * 30 + 1];
    for _ in 0..8192 {
        repeats.extend([0x02, 0x00, 0x10, b'a']);
    }
    add(
        "zstd, 2^30 bytes of one".into(),
        block_file(
            CodecId::ZSTD,
            false,
            &[(block::HEADER, &[]), (block::DATA, &repeats)],
        ),
    );
    bombs
}

/// Files whose data is right and whose headers claim a larger picture, or more
/// channels.
fn enlarged() -> Vec<Bomb> {
    let mut bombs = Vec::new();
    for codec in rcodec::CODECS {
        let info = codec.info();
        let file = all_samples()
            .iter()
            .filter(|sample| sample.header.kind() == info.media && sample.unit.is_some())
            .find_map(|sample| sample.encode_as(*codec, 5, Latency::Live).ok());
        let file = file.expect("a sample that the codec takes");
        let parts: Vec<(u8, &[u8])> = blocks(&file)
            .into_iter()
            .map(|place| split_block(&file[place]).expect("a block"))
            .map(|(kind, payload, _)| (kind, payload))
            .collect();
        let flagged = file[3] & 0x10 != 0;
        let (flags, fields) = parts[0].1.split_at(usize::from(flagged));
        let mut cursor = rcodec_core::Cursor::new(fields, 0);
        let larger = match info.media {
            MediaKind::Image => [4000, 4000],
            MediaKind::Audio => [48_000, 60_000],
            _ => continue,
        };
        for _ in larger {
            cursor.varint().unwrap();
        }
        let header = [flags, &varints(&larger), cursor.rest()].concat();
        let mut parts = parts.clone();
        parts[0].1 = &header;
        let file = block_file(info.id, flagged, &parts);
        bombs.push(Bomb::new(
            Door::Decoder,
            format!("{}, more claimed", info.name),
            file,
        ));
    }
    bombs
}

/// Heads that overlap: each says that the block goes to the end of the file.
fn overlapping() -> Vec<u8> {
    let header = [&[1][..], &sound(2, 16), &[1, 100]].concat();
    let mut file = block_file(CodecId::AUDIO_LOSSLESS, true, &[(block::HEADER, &header)]);
    let (lead, end) = (file[3], 4 << 20);
    while file.len() < end {
        // Behind the head and before the check.
        // The length of the head, give or take, so that blocks end near the end.
        let len = (end + 40 - file.len()) as u64;
        file.extend(block_head(lead, block::DATA, 2, len));
    }
    file.extend([0; 64]);
    file
}

/// Streams of packets that claim much.
fn packets() -> Vec<Bomb> {
    let head = |fields: &[u8]| {
        let mut file = vec![0xf7, 0x72, 0x73, 1];
        write_varint(&mut file, fields.len() as u64);
        file.extend_from_slice(fields);
        let check = crc32fast::hash(&file);
        file.extend(check.to_le_bytes());
        file
    };
    let params = [&varints(&[480, 100, 10, 10])[..], &[1, 2, 3, 4]].concat();
    let stream = |channels| head(&[&sound(channels, 16), &params[..]].concat());
    let mut long = vec![0xf7, 0x72, 0x73, 1];
    write_varint(&mut long, 1 << 60);
    let mut packet = stream(2);
    packet.extend(varints(&[1 << 60]));
    packet.extend([0; 100]);
    let packets = |name: &str, file| Bomb::new(Door::Packets, name, file);
    vec![
        packets("a header of 2^60 bytes", long),
        packets("65,535 channels", stream(65_535)),
        packets("a packet of 2^60 bytes", packet),
    ]
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn png_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [&kind[..], content].concat();
    let check = crc32fast::hash(&body).to_be_bytes();
    [&(content.len() as u32).to_be_bytes()[..], &body, &check].concat()
}

fn png(width: u32, height: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    file.extend(png_chunk(b"IHDR", &[&size[..], &[16, 6, 0, 0, 0]].concat()));
    for chunk in chunks {
        file.extend(chunk);
    }
    file.extend(png_chunk(b"IEND", &[]));
    file
}

fn riff(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
    let mut file = b"RIFF\xff\xff\xff\xffWAVE".to_vec();
    for (kind, len, content) in chunks {
        file.extend_from_slice(*kind);
        file.extend(len.to_le_bytes());
        file.extend_from_slice(content);
    }
    file
}

/// Pictures and sounds of other formats that claim much.
fn sources() -> Vec<Bomb> {
    let zeros = vec![0; 64 << 20];
    let deflated = deflate(&zeros);
    let format = |channels: u16| {
        let mut fields = vec![1, 0];
        fields.extend(channels.to_le_bytes());
        fields.extend(48_000_u32.to_le_bytes());
        fields.extend([0; 4]);
        fields.extend((channels.wrapping_mul(2)).to_le_bytes());
        fields.extend([16, 0]);
        fields
    };
    let (stereo, crowd) = (format(2), format(32_767));
    let profile = [b"icc\0\0", &deflated[..]].concat();
    let mut flac = b"fLaC\x86\xff\xff\xff".to_vec();
    flac.extend([0; 100]);
    let mut id3 = b"ID3\x04\0\0\x7f\x7f\x7f\x7f".to_vec();
    id3.extend([0; 100]);
    let mut bmp = b"BM\xff\xff\xff\x7f\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend([0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 24, 0]);
    bmp.extend([0; 200]);
    let mut qoi = b"qoif\0\0\xff\xff\0\0\xff\xff\x04\0".to_vec();
    qoi.extend([0xfd; 1000]);
    let mut tiff = b"II*\0\x08\0\0\0\x08\0".to_vec();
    for (tag, value) in [
        (256_u16, 65_535_u32),
        (257, 65_535),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8),
        (278, 65_535),
        (279, u32::MAX),
    ] {
        tiff.extend(tag.to_le_bytes());
        tiff.extend([4, 0, 1, 0, 0, 0]);
        tiff.extend(value.to_le_bytes());
    }
    tiff.extend([0; 100]);
    let source = |name: &str, file| Bomb::new(Door::Source, name, file);
    // Lengths in WAV files are known to lie: what is there is taken.
    let read = |name: &str, file| Bomb {
        is_read: true,
        ..source(name, file)
    };
    vec![
        source("PNG of 2^62 pixels", png(0x7fff_ffff, 0x7fff_ffff, &[])),
        source(
            "PNG of a row of 2^31 - 1",
            png(0x7fff_ffff, 1, &[png_chunk(b"IDAT", &deflated)]),
        ),
        source(
            "PNG of 2^24 pixels from a few bytes",
            png(1 << 12, 1 << 12, &[png_chunk(b"IDAT", &deflated)]),
        ),
        source(
            "PNG with a profile of 64 MB",
            png(1 << 30, 1, &[png_chunk(b"iCCP", &profile)]),
        ),
        source("BMP of 65,535 squared", bmp),
        source("QOI of 65,535 squared", qoi),
        source("TIFF of 65,535 squared", tiff),
        source(
            "PNM of 2^60 pixels",
            b"P6 1073741824 1073741824 65535\n1".to_vec(),
        ),
        source("FLAC with a picture of 2^24", flac),
        source("MP3 with a tag of 2^28", id3),
        read(
            "WAV of 2^32 bytes, 32,767 channels",
            riff(&[(b"fmt ", 16, &crowd), (b"data", u32::MAX - 1, &[0; 100])]),
        ),
        source(
            "WAV with a list of 2^32 bytes",
            riff(&[(b"fmt ", 16, &stereo), (b"LIST", u32::MAX - 1, &[0; 100])]),
        ),
    ]
}

#[test]
fn bombs_are_refused() {
    let mut bombs = container();
    bombs.extend(codecs());
    bombs.extend(enlarged());
    bombs.push(Bomb::new(
        Door::Recovery,
        "heads that overlap",
        overlapping(),
    ));
    bombs.extend(packets());
    bombs.extend(sources());
    println!("| claim | bytes | KB | ms | answer |\n|---|---|---|---|---|");
    for bomb in &bombs {
        let budget = Budget::new(limits());
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let begun = Instant::now();
        let result = open(bomb, &budget);
        let (time, peak) = (begun.elapsed(), MEMORY.peak_usage() - before);
        let name = &bomb.name;
        assert_eq!(result.is_ok(), bomb.is_read, "{name}: {result:?}");
        let answer = match &result {
            Ok(()) => "what is there is read".to_string(),
            Err(error) => error.to_string(),
        };
        println!(
            "| {name} | {} | {} | {:.1} | {answer} |",
            bomb.file.len(),
            peak >> 10,
            1000.0 * time.as_secs_f64()
        );
        assert!(peak < MEMORY_BYTES, "{name}: {peak} bytes of memory");
        assert!(time < TIME, "{name}: {time:?}");
        assert_eq!(budget.used_bytes(), 0, "{name}: memory is still charged");
    }
}
