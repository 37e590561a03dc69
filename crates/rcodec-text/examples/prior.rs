//! Makes a prior of all files in folders: `rcodec-train prior` without the rest
//! of the trainer.
//!
//! `cargo run --release -p rcodec-text --example prior -- OUT.rcm VARIANT SLOTS FILE…`

use rcodec_core::{Error, Result};
use rcodec_text::{PriorOptions, train_prior};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, variant, slots, files @ ..] = &args[..] else {
        return Err(Error::parameter("OUT.rcm VARIANT SLOTS FILE…"));
    };
    let texts: Vec<Vec<u8>> = files.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let mut hasher = blake3::Hasher::new();
    for text in &texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    let options = PriorOptions {
        data_hash: hasher.finalize().to_hex().to_string(),
        variant: variant.clone(),
        slots: slots.parse().unwrap_or(600_000),
        ..PriorOptions::default()
    };
    let data = train_prior(&texts, &options)?;
    for tensor in data.tensors.iter() {
        println!("{} {}", tensor.info.name, tensor.data.len());
    }
    let (model, file) = data.build()?;
    std::fs::write(out, &file)?;
    println!("{} {} bytes", model.name(), file.len());
    Ok(())
}
