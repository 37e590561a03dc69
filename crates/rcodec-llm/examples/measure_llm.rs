//! What a model alone makes of files: bits per byte, runs of the network per
//! byte, speed of one core.
//!
//! `cargo run --release -p rcodec-llm --example measure_llm -- FOLDER [BYTES] FILE…`

use rcodec_core::{Budget, Limits, Result};
use rcodec_llm::{Engine, Model, Predictor};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_default();
    let budget = Budget::new(Limits::default());
    let start = Instant::now();
    let model = Arc::new(Model::load(Path::new(&folder), &budget)?);
    println!(
        "{}: {} tokens, {} multiply-adds a token, loaded in {:.2} s",
        model.id(),
        model.vocabulary().len(),
        model.work(),
        start.elapsed().as_secs_f64()
    );
    println!("file,bytes,bits_per_byte,runs_per_byte,kb_s");
    let mut most_bytes = usize::MAX;
    for arg in args {
        if let Ok(bytes) = arg.parse() {
            most_bytes = bytes;
            continue;
        }
        let content = std::fs::read(&arg)?;
        let content = &content[..content.len().min(most_bytes)];
        let start = Instant::now();
        let mut predictor = Predictor::new(&model, Engine::new(), &budget)?;
        let mut bits = 0.0;
        for &byte in content {
            let weights = predictor.weights();
            let sum: u32 = weights.iter().sum();
            let weight = f64::from(weights[usize::from(byte)]).max(1.0);
            bits -= (weight / f64::from(sum)).log2();
            predictor.advance(byte)?;
        }
        let n = content.len().max(1) as f64;
        println!(
            "{arg},{},{:.4},{:.3},{:.3}",
            content.len(),
            bits / n,
            predictor.runs() as f64 / n,
            n / 1000.0 / start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
