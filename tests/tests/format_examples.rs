//! The worked examples of FORMAT.md, byte by byte.

use rcodec::{
    CodecId, DecodeContext, EncodeContext, Latency, Media, MediaHeader, Metadata, StreamEncoder,
};

const FORMAT: &str = include_str!("../../crates/rcodec-bitstream/FORMAT.md");

/// The bytes of each `hex` code block, comments from `;` to the line's end
/// left out.
fn hex_blocks() -> Vec<Vec<u8>> {
    let blocks = FORMAT.split("```hex\n").skip(1);
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
    let blocks = hex_blocks();
    let written = [encode(Latency::Smallest), encode(Latency::Live)];
    assert_eq!(blocks, written);
    for file in &blocks {
        let decoded = rcodec::decode(file, DecodeContext::default()).unwrap();
        assert_eq!(decoded.units, [Media::Bytes(b"hello\n".to_vec())]);
    }
}
