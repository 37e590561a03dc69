//! Measures the codec on files: payload bytes, bits per byte, and CPU time of
//! one core each way; every file is decoded and compared.
//!
//! `cargo run --release -p rcodec-text --example measure_text -- [-e EFFORT] [-n] [NAME=VALUE…] FILE…`
//!
//! `-n` skips decoding, `-p FILE` begins with that prior (its folder has to be
//! among those of `RCODEC_MODELS`), `-m FOLDER` asks that language model.

use cpu_time::ProcessTime;
use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, DecodeContext, Effort, EncodeContext, Limits,
    Media, MediaHeader, ModelId, Result, StreamHeader,
};
use rcodec_text::Text;
use std::collections::VecDeque;

struct Blocks(VecDeque<Vec<u8>>, Budget);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0.push_back(payload.to_vec());
        Ok(())
    }
}

impl BlockSource for Blocks {
    fn next_block(&mut self) -> Result<Option<Block>> {
        self.0
            .pop_front()
            .map(|payload| {
                Ok(Block {
                    at: 0,
                    reservation: self.1.reserve(payload.len() as u64)?,
                    payload,
                })
            })
            .transpose()
    }
}

fn encode(
    content: &[u8],
    effort: u8,
    options: &[(String, i64)],
    model: Option<ModelId>,
) -> Result<Blocks> {
    let context = EncodeContext {
        effort: Effort::new(effort)?,
        options,
        model,
        ..EncodeContext::default()
    };
    let mut blocks = Blocks(VecDeque::new(), Budget::new(Limits::default()));
    let mut encoder = Text.encoder(&MediaHeader::Bytes, context)?;
    encoder.write(Media::Bytes(content.to_vec()), &mut blocks)?;
    encoder.finish(&mut blocks)?;
    Ok(blocks)
}

fn decode(blocks: &mut Blocks, model: Option<ModelId>) -> Result<Vec<u8>> {
    let header = StreamHeader {
        version: 1,
        codec: Text.info().id,
        media: MediaHeader::Bytes,
        params: Vec::new(),
        models: model.into_iter().collect(),
    };
    let mut decoder = Text.decoder(&header, DecodeContext::default())?;
    let mut content = Vec::new();
    while let Some(Media::Bytes(bytes)) = decoder.next_unit(blocks)? {
        content.extend(bytes);
    }
    Ok(content)
}

fn main() -> Result<()> {
    let mut effort = 5;
    let mut decodes = true;
    let mut model = None;
    let mut options = Vec::new();
    let mut total = (0, 0);
    let mut seconds = (0.0, 0.0);
    println!("file,bytes,payload_bytes,bits_per_byte,encode_kb_s,decode_kb_s");
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "-e" {
            effort = args.next().and_then(|e| e.parse().ok()).unwrap_or(5);
            continue;
        }
        if arg == "-p" {
            let head = std::fs::read(args.next().unwrap_or_default())?;
            model = Some(rcodec_model::file::peek_id(&head)?);
            continue;
        }
        if arg == "-m" {
            let folder = args.next().unwrap_or_default();
            let limits = Limits::default();
            model = Some(rcodec_llm::registry::add_folder(folder.as_ref(), limits)?);
            continue;
        }
        if arg == "-n" {
            decodes = false;
            continue;
        }
        if let Some((name, value)) = arg.split_once('=') {
            options.push((name.to_string(), value.parse().unwrap_or(0)));
            continue;
        }
        let content = std::fs::read(&arg)?;
        let start = ProcessTime::now();
        let mut blocks = encode(&content, effort, &options, model)?;
        let encoding = start.elapsed().as_secs_f64();
        let payload_bytes: usize = blocks.0.iter().map(Vec::len).sum();
        let start = ProcessTime::now();
        let mut decoding = 0.0;
        if decodes {
            assert!(
                decode(&mut blocks, model)? == content,
                "{arg}: not what went in"
            );
            decoding = start.elapsed().as_secs_f64();
        }
        let kb = content.len() as f64 / 1000.0;
        println!(
            "{},{},{payload_bytes},{:.4},{:.0},{:.0}",
            arg.rsplit('/').next().unwrap_or(&arg),
            content.len(),
            8.0 * payload_bytes as f64 / content.len().max(1) as f64,
            kb / encoding,
            kb / decoding,
        );
        total = (total.0 + content.len(), total.1 + payload_bytes);
        seconds = (seconds.0 + encoding, seconds.1 + decoding);
    }
    let kb = total.0 as f64 / 1000.0;
    println!(
        "total,{},{},{:.4},{:.0},{:.0}",
        total.0,
        total.1,
        8.0 * total.1 as f64 / total.0.max(1) as f64,
        kb / seconds.0,
        kb / seconds.1
    );
    Ok(())
}
