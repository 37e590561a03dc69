//! The worked examples of the pages of the format, byte by byte.

use rcodec::{
    Budget, CodecId, DecodeContext, EncodeContext, Latency, Limits, Media, MediaHeader, Metadata,
    Samples, StreamEncoder,
};
use rcodec_model::{Model, TensorData};

const FORMAT: &str = include_str!("../../crates/rcodec-bitstream/FORMAT.md");
const LOSSY_IMAGE: &str = include_str!("../../crates/rcodec-image/LOSSY-FORMAT.md");
const LOSSY_AUDIO: &str = include_str!("../../crates/rcodec-audio/LOSSY-FORMAT.md");
const MODEL: &str = include_str!("../../crates/rcodec-model/MODEL-FORMAT.md");

/// The bytes of each `hex` code block of a page, comments from `;` to the
/// line's end left out.
fn hex_blocks(page: &str) -> Vec<Vec<u8>> {
    let blocks = page.split("```hex\n").skip(1);
    blocks
        .map(|block| {
            let block = block.split("```").next().unwrap();
            let lines = block.lines().map(|line| line.split(';').next().unwrap());
            lines
                .flat_map(|line| line.split_whitespace())
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect()
        })
        .collect()
}

fn encode(latency: Latency) -> Vec<u8> {
    let codec = rcodec::codec(CodecId::STORE).unwrap();
    let mut encoder = StreamEncoder::new(
        codec,
        &MediaHeader::Bytes,
        Metadata::default(),
        EncodeContext::default(),
        latency,
        Vec::new(),
    )
    .unwrap();
    encoder.write(Media::Bytes(b"hello\n".to_vec())).unwrap();
    encoder.finish(&Metadata::default()).unwrap().out
}

#[test]
fn the_examples_are_what_is_written_and_read() {
    let blocks = hex_blocks(FORMAT);
    let written = [encode(Latency::Smallest), encode(Latency::Live)];
    assert_eq!(blocks, written);
    for file in &blocks {
        let decoded = rcodec::decode(file, DecodeContext::default()).unwrap();
        assert_eq!(decoded.units, [Media::Bytes(b"hello\n".to_vec())]);
    }
}

/// The samples of a page's only example.
fn decoded(page: &str) -> Vec<Media> {
    let files = hex_blocks(page);
    let [file] = &files[..] else {
        panic!("not one example");
    };
    let decoded = rcodec::decode(file, DecodeContext::default());
    decoded.unwrap().units
}

#[test]
fn the_examples_of_lossy_codecs_decode_to_what_the_pages_say() {
    let units = decoded(LOSSY_AUDIO);
    let [Media::Audio(block)] = &units[..] else {
        panic!("not one unit of sound");
    };
    assert_eq!(block.samples, [-15681, 15681]);
    let units = decoded(LOSSY_IMAGE);
    let [Media::Image(strip)] = &units[..] else {
        panic!("not one strip");
    };
    assert_eq!(strip.samples, Samples::U8(vec![158, 218, 30]));
}

#[test]
fn the_example_of_a_model_file_is_one() {
    let files = hex_blocks(MODEL);
    let [file] = &files[..] else {
        panic!("not one example");
    };
    let model = Model::read(file, &Budget::new(Limits::default())).unwrap();
    assert_eq!(model.name(), "example-a1-2941");
    assert_eq!(model.id().to_string(), "29417bb9de4343ed");
    let tensor = |name| &model.tensor(name).unwrap().data;
    assert_eq!(tensor("w"), &TensorData::I8(vec![3, -5]));
    assert_eq!(tensor("b"), &TensorData::I32(vec![-7, 300]));
    assert_eq!(tensor("s"), &TensorData::U8(vec![2, 1]));
}
