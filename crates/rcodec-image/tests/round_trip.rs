//! Every kind of picture comes back, however it is cut and by however many
//! threads; damaged files end in errors.

use proptest::prelude::*;
use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, ColorType, DecodeContext, Effort, EncodeContext,
    Error, Flow, ImageHeader, ImageStrip, Limits, Media, MediaHeader, Progress, Result, Samples,
    StreamHeader,
};
use rcodec_image::ImageLossless;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0.push(payload.to_vec());
        Ok(())
    }
}

struct Source<'a> {
    blocks: std::slice::Iter<'a, Vec<u8>>,
    at: u64,
}

impl BlockSource for Source<'_> {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(payload) = self.blocks.next() else {
            return Ok(None);
        };
        let at = self.at;
        self.at += payload.len() as u64;
        Ok(Some(Block {
            payload: payload.clone(),
            at,
            reservation: Budget::new(Limits::default()).reserve(payload.len() as u64)?,
        }))
    }
}

fn header(width: u32, height: u32, color: ColorType, bits: u8) -> ImageHeader {
    ImageHeader {
        width,
        height,
        color,
        bits,
        palette: if color == ColorType::Indexed {
            vec![[1, 2, 3, 4]; 1 << bits.min(8)]
        } else {
            Vec::new()
        },
    }
}

/// Encodes in strips of `strip_rows` rows.
fn encode(
    header: &ImageHeader,
    samples: &Samples,
    effort: u8,
    strip_rows: usize,
) -> Result<(StreamHeader, Vec<Vec<u8>>)> {
    let context = EncodeContext {
        effort: Effort::new(effort)?,
        ..EncodeContext::default()
    };
    encode_with(header, samples, strip_rows, context)
}

fn encode_with(
    header: &ImageHeader,
    samples: &Samples,
    strip_rows: usize,
    context: EncodeContext<'_>,
) -> Result<(StreamHeader, Vec<Vec<u8>>)> {
    let media = MediaHeader::Image(header.clone());
    let mut encoder = ImageLossless.encoder(&media, context)?;
    let mut blocks = Blocks::default();
    let row = header.row_samples();
    let mut y = 0;
    while y < header.height as usize {
        let rows = strip_rows.min(header.height as usize - y);
        let range = y * row..(y + rows) * row;
        let samples = match samples {
            Samples::U8(v) => Samples::U8(v[range].to_vec()),
            Samples::U16(v) => Samples::U16(v[range].to_vec()),
        };
        let strip = ImageStrip {
            rows: rows as u32,
            samples,
        };
        encoder.write(Media::Image(strip), &mut blocks)?;
        y += rows;
    }
    encoder.finish(&mut blocks)?;
    let stream = StreamHeader {
        version: 1,
        codec: ImageLossless.info().id,
        media,
        params: encoder.params(),
        models: Vec::new(),
    };
    Ok((stream, blocks.0))
}

fn decode(stream: &StreamHeader, blocks: &[Vec<u8>], limits: Limits) -> Result<Samples> {
    let context = DecodeContext {
        budget: Budget::new(limits),
        ..DecodeContext::default()
    };
    decode_with(stream, blocks, context)
}

fn decode_with(
    stream: &StreamHeader,
    blocks: &[Vec<u8>],
    context: DecodeContext<'_>,
) -> Result<Samples> {
    let mut source = Source {
        blocks: blocks.iter(),
        at: 0,
    };
    let mut decoder = ImageLossless.decoder(stream, context)?;
    let MediaHeader::Image(image) = &stream.media else {
        panic!("not a picture");
    };
    let mut all = Samples::empty_for(image.bits);
    while let Some(unit) = decoder.next_unit(&mut source)? {
        let Media::Image(strip) = unit else {
            panic!("not a strip");
        };
        assert_eq!(
            strip.samples.len(),
            strip.rows as usize * image.row_samples()
        );
        match (&mut all, strip.samples) {
            (Samples::U8(to), Samples::U8(from)) => to.extend(from),
            (Samples::U16(to), Samples::U16(from)) => to.extend(from),
            _ => panic!("samples of the wrong type"),
        }
    }
    Ok(all)
}

fn from_u32(values: impl Iterator<Item = u32>, bits: u8) -> Samples {
    let mask = (1u32 << bits) - 1;
    if bits <= 8 {
        Samples::U8(values.map(|v| (v & mask) as u8).collect())
    } else {
        Samples::U16(values.map(|v| (v & mask) as u16).collect())
    }
}

/// What a made picture shows.
#[derive(Clone, Copy, Debug)]
enum Content {
    Noise,
    Gradient,
    Constant,
    FewColours,
    Photo,
    Sparse,
    Glyphs,
}

const CONTENTS: [Content; 7] = [
    Content::Noise,
    Content::Gradient,
    Content::Constant,
    Content::FewColours,
    Content::Photo,
    Content::Sparse,
    Content::Glyphs,
];

/// A random number that depends on everything it is given.
fn hash(seed: u32, a: u32, b: u32, c: u32) -> u32 {
    let mut h = seed ^ a.wrapping_mul(0x9e37_79b1);
    for x in [b, c] {
        h = (h ^ h >> 15).wrapping_mul(0x85eb_ca77) ^ x.wrapping_mul(0xc2b2_ae3d);
    }
    h = (h ^ h >> 13).wrapping_mul(0x27d4_eb2f);
    h ^ h >> 16
}

fn draw(header: &ImageHeader, content: Content, seed: u32) -> Samples {
    let channels = header.color.channels() as u32;
    let top = (1u32 << header.bits) - 1;
    let value = |y: u32, x: u32, c: u32| match content {
        Content::Noise => hash(seed, x, y, c),
        Content::Gradient => (x * (c + 1) + 2 * y) * (top / 64).max(1),
        Content::Constant => hash(seed, 0, 0, c),
        Content::FewColours => hash(seed, hash(seed, x / 3, y / 4, 0) % 5, 0, c),
        Content::Photo => {
            let wave = (x * x / 16 + y * (c + 3) * 2) % 128;
            let folded = if wave < 64 { wave } else { 127 - wave };
            top / 3 + folded * (top / 128) + hash(seed, x, y, c) % (top / 50 + 1)
        }
        Content::Sparse => (hash(seed, x / 2, y, c) % 16) * (top / 15).max(1),
        Content::Glyphs => {
            let (gx, gy) = (x % 7, y % 9);
            let letter = hash(seed, x / 7, y / 9, 0) % 6;
            if hash(seed, letter, gx, gy).is_multiple_of(3) {
                top / 5 + c
            } else {
                top - c.min(top)
            }
        }
    };
    let mut values = Vec::new();
    for y in 0..header.height {
        for x in 0..header.width {
            values.extend((0..channels).map(|c| value(y, x, c)));
        }
    }
    from_u32(values.into_iter(), header.bits)
}

fn stored_bytes(header: &ImageHeader) -> usize {
    (header.total_samples() as usize * usize::from(header.bits)).div_ceil(8)
}

/// Encodes, decodes, compares; gives the bytes.
fn check(header: &ImageHeader, samples: &Samples, effort: u8) -> usize {
    let (stream, blocks) = encode(header, samples, effort, header.height as usize).unwrap();
    let decoded = decode(&stream, &blocks, Limits::default()).unwrap();
    assert!(decoded == *samples, "{header:?} effort {effort}");
    let bytes = blocks.iter().map(Vec::len).sum();
    assert!(
        bytes <= stored_bytes(header) + blocks.len(),
        "{bytes} for {header:?}"
    );
    bytes
}

const COLORS: [ColorType; 5] = [
    ColorType::Gray,
    ColorType::GrayAlpha,
    ColorType::Rgb,
    ColorType::Rgba,
    ColorType::Indexed,
];

const EFFORTS: [u8; 3] = [1, 5, 9];

#[test]
fn all_kinds_come_back() {
    for color in COLORS {
        for bits in 1..=16 {
            for (n, content) in CONTENTS.into_iter().enumerate() {
                let (width, height) =
                    [(1, 1), (13, 9), (31, 17), (2, 40)][(n + usize::from(bits)) % 4];
                let header = header(width, height, color, bits);
                let samples = draw(&header, content, 7);
                check(&header, &samples, EFFORTS[(n + usize::from(bits)) % 3]);
            }
        }
    }
}

#[test]
fn long_rows_come_back() {
    for effort in EFFORTS {
        let header = header(4097, 3, ColorType::Rgb, 8);
        check(&header, &draw(&header, Content::Photo, 1), effort);
    }
}

#[test]
fn simple_pictures_are_small() {
    let header = header(300, 300, ColorType::Rgba, 8);
    for effort in EFFORTS {
        assert!(check(&header, &draw(&header, Content::Constant, 3), effort) < 32);
        let most = if effort < 4 { 100_000 } else { 8_000 };
        let size = check(&header, &draw(&header, Content::Gradient, 3), effort);
        assert!(size < most, "{size} at effort {effort}");
    }
}

fn groups_picture() -> (ImageHeader, Samples) {
    // Twelve groups at effort 1.
    let header = header(2500, 1200, ColorType::Gray, 4);
    let samples = draw(&header, Content::FewColours, 5);
    (header, samples)
}

#[test]
fn strips_and_threads_do_not_matter() {
    let (header, samples) = groups_picture();
    let run = |threads: usize, strip_rows: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (stream, blocks) = encode(&header, &samples, 1, strip_rows).unwrap();
            let decoded = decode(&stream, &blocks, Limits::default()).unwrap();
            assert!(decoded == samples);
            (stream, blocks)
        })
    };
    let (stream, blocks) = run(1, 1200);
    assert_eq!(blocks.len(), 12);
    for (threads, strip_rows) in [(1, 7), (2, 401), (5, 1)] {
        let (other_stream, other_blocks) = run(threads, strip_rows);
        assert!(other_stream == stream && other_blocks == blocks);
    }
}

/// Takes reports, and cancels at a number of samples.
struct Reports {
    cancel_at: u64,
    latest: AtomicU64,
    total: AtomicU64,
}

impl Reports {
    fn until(cancel_at: u64) -> Self {
        Reports {
            cancel_at,
            latest: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }
}

impl Progress for Reports {
    fn update(&self, done: u64, total: Option<u64>) -> Flow {
        self.latest.fetch_max(done, Ordering::Relaxed);
        self.total.store(total.unwrap_or(0), Ordering::Relaxed);
        if done >= self.cancel_at {
            Flow::Cancel
        } else {
            Flow::Continue
        }
    }
}

#[test]
fn every_sample_is_reported_once() {
    let (several_groups, glyphs) = groups_picture();
    let small = header(40, 50, ColorType::Rgb, 8);
    for (header, samples) in [
        (&several_groups, &glyphs),
        (&small, &draw(&small, Content::Photo, 1)),
        (&small, &draw(&small, Content::Noise, 1)),
        (&small, &draw(&small, Content::FewColours, 1)),
    ] {
        let count = samples.len() as u64;
        let (encoding, decoding) = (Reports::until(u64::MAX), Reports::until(u64::MAX));
        let context = EncodeContext {
            progress: &encoding,
            ..EncodeContext::default()
        };
        let (stream, blocks) = encode_with(header, samples, 64, context).unwrap();
        let context = DecodeContext {
            progress: &decoding,
            ..DecodeContext::default()
        };
        decode_with(&stream, &blocks, context).unwrap();
        for reports in [encoding, decoding] {
            assert_eq!(reports.latest.into_inner(), count);
            assert_eq!(reports.total.into_inner(), count);
        }
    }
}

#[test]
fn work_can_be_cancelled_within_a_group() {
    let header = header(40, 50, ColorType::Rgb, 8);
    let samples = draw(&header, Content::Photo, 1);
    let half = samples.len() as u64 / 2;
    let (stream, blocks) = encode(&header, &samples, 5, 50).unwrap();
    let reports = Reports::until(half);
    let context = EncodeContext {
        progress: &reports,
        ..EncodeContext::default()
    };
    let cancelled = encode_with(&header, &samples, 50, context);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    // Other channels may end the rows that they are at.
    assert!((half..2 * half).contains(&reports.latest.into_inner()));
    let reports = Reports::until(half);
    let context = DecodeContext {
        progress: &reports,
        ..DecodeContext::default()
    };
    let cancelled = decode_with(&stream, &blocks, context);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    // Other channels may end the rows that they are at.
    assert!((half..2 * half).contains(&reports.latest.into_inner()));
}

#[test]
fn missing_and_additional_blocks_are_errors() {
    let (header, samples) = groups_picture();
    let (stream, mut blocks) = encode(&header, &samples, 1, 1200).unwrap();
    let total: usize = blocks.iter().map(Vec::len).sum();
    let last = blocks.pop().unwrap();
    let missing = decode(&stream, &blocks, Limits::default());
    let end = (total - last.len()) as u64;
    assert!(matches!(missing, Err(Error::Truncated { at }) if at == end));
    blocks.extend([last, vec![0]]);
    let more = decode(&stream, &blocks, Limits::default());
    assert!(matches!(more, Err(Error::Malformed { at, .. }) if at == total as u64));
}

#[test]
fn promises_are_not_believed() {
    let huge = header(1 << 20, 1 << 20, ColorType::Rgb, 8);
    let stream = StreamHeader {
        version: 1,
        codec: ImageLossless.info().id,
        media: MediaHeader::Image(huge.clone()),
        params: vec![0, 1],
        models: Vec::new(),
    };
    let small = vec![vec![1, 2, 3]];
    assert!(decode(&stream, &small, Limits::default()).is_err());
    let limits = Limits {
        max_samples: 1 << 20,
        ..Limits::default()
    };
    assert!(matches!(
        decode(&stream, &small, limits),
        Err(Error::Limit(_))
    ));
    for params in [
        vec![],
        vec![0],
        vec![0, 0],
        vec![7, 1],
        vec![0, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        let stream = StreamHeader {
            params,
            ..stream.clone()
        };
        assert!(decode(&stream, &small, Limits::default()).is_err());
    }
    let wide = header(u32::MAX, u32::MAX, ColorType::Rgba, 16);
    let stream = StreamHeader {
        media: MediaHeader::Image(wide),
        ..stream
    };
    assert!(decode(&stream, &small, Limits::default()).is_err());
}

#[test]
fn strips_that_do_not_fit_are_refused() {
    let header = header(4, 4, ColorType::Gray, 3);
    let media = MediaHeader::Image(header.clone());
    let strips = [
        (5, Samples::U8(vec![0; 20])),
        (1, Samples::U8(vec![0; 5])),
        (1, Samples::U8(vec![8; 4])),
        (1, Samples::U16(vec![0; 4])),
        (0, Samples::U8(vec![])),
    ];
    for (rows, samples) in strips {
        let mut encoder = ImageLossless
            .encoder(&media, EncodeContext::default())
            .unwrap();
        let strip = Media::Image(ImageStrip { rows, samples });
        let result = encoder.write(strip, &mut Blocks::default());
        assert!(matches!(result, Err(Error::Parameter(_))));
    }
    let mut encoder = ImageLossless
        .encoder(&media, EncodeContext::default())
        .unwrap();
    let result = encoder.finish(&mut Blocks::default());
    assert!(matches!(result, Err(Error::Parameter(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn pictures_come_back(
        width in 1u32..71,
        height in 1u32..71,
        color in 0..COLORS.len(),
        bits in 1u8..=16,
        content in 0..CONTENTS.len(),
        effort in 1u8..=9,
        seed in any::<u32>(),
    ) {
        let header = header(width, height, COLORS[color], bits);
        let samples = draw(&header, CONTENTS[content], seed);
        check(&header, &samples, effort);
    }

    #[test]
    fn damage_is_survived(
        content in 0..CONTENTS.len(),
        color in 0..COLORS.len(),
        bits in 1u8..=16,
        effort in 1u8..=9,
        seed in any::<u32>(),
        flips in proptest::collection::vec((any::<u32>(), 0u8..8), 0..4),
        cut in any::<Option<u32>>(),
    ) {
        let header = header(23, 19, COLORS[color], bits);
        let samples = draw(&header, CONTENTS[content], seed);
        let (stream, mut blocks) = encode(&header, &samples, effort, 19).unwrap();
        let payload = &mut blocks[0];
        for (at, bit) in flips {
            let at = at as usize % payload.len();
            payload[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            payload.truncate(cut as usize % (payload.len() + 1));
        }
        // Any answer but a panic will do; samples must fit their header.
        if let Ok(decoded) = decode(&stream, &blocks, Limits::default()) {
            let top = (1u32 << bits) - 1;
            let fits = match &decoded {
                Samples::U8(v) => v.iter().all(|&s| u32::from(s) <= top),
                Samples::U16(v) => v.iter().all(|&s| u32::from(s) <= top),
            };
            prop_assert!(fits);
        }
    }

    #[test]
    fn any_bytes_are_survived(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        mode in 0u8..6,
        bits in 1u8..=16,
        color in 0..COLORS.len(),
    ) {
        let header = header(17, 11, COLORS[color], bits);
        let (stream, _) = encode(&header, &draw(&header, Content::Constant, 0), 1, 11).unwrap();
        let mut payload = payload;
        if let Some(first) = payload.first_mut() {
            *first = mode;
        }
        let _ = decode(&stream, &[payload], Limits::default());
    }
}
