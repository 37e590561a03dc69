//! Makes a model file of a language model's folder, in the form of the shipped
//! one.
//!
//! `cargo run --release -p rcodec-text --example pack_lm -- OUT.rcm FOLDER VARIANT LICENCE NOTES`

use rcodec_core::{Error, Result};
use rcodec_model::Record;
use rcodec_text::pack_language_model;
use std::path::Path;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, folder, variant, licence, notes] = &args[..] else {
        return Err(Error::parameter("OUT.rcm FOLDER VARIANT LICENCE NOTES"));
    };
    let read = |name: &str| std::fs::read(Path::new(folder).join(name));
    let (config, tokenizer) = (read("config.json")?, read("tokenizer.json")?);
    let files = [config, tokenizer, read("model.safetensors")?];
    let record = Record {
        variant: variant.clone(),
        version: 1,
        licence: licence.clone(),
        notes: notes.clone(),
        device: "cpu".to_owned(),
        ..Record::default()
    };
    let (model, file) = pack_language_model(files, record)?.build()?;
    std::fs::write(out, &file)?;
    println!("{} {} {} bytes", model.name(), model.id(), file.len());
    Ok(())
}
