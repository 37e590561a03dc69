//! `rcodec-train expert`: the learned expert of lossless photographs.

use super::Device;
use crate::data::Collection;
use crate::expert::{Recipe, Trained, cost, gather, train};
use clap::Args;
use rcodec_core::{Error, Result};
use rcodec_image::expert::{Example, outputs, quantise};
use std::fs;
use std::path::PathBuf;

/// Trains the networks that lossless coding of photographs (effort 9) asks, from
/// one's own pictures.
#[derive(Debug, Args)]
pub(super) struct ExpertArgs {
    /// Folder of pictures; a tenth of them is held out.
    #[arg(long)]
    data: PathBuf,
    /// The file to write: in a checkout of rcodec,
    /// crates/rcodec-image/src/lossless/photo/photo-expert.bin. Programs built
    /// with it read and write a format of their own. What it was trained on is
    /// written beside it (.toml).
    #[arg(long, default_value = "photo-expert.bin")]
    out: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Factor by which pictures are made smaller first: JPEG files need 2 or
    /// more, or their grid is what is learned.
    #[arg(long, default_value_t = 2)]
    reduce: usize,
    /// Take one sample in so many; each takes 180 bytes of memory.
    #[arg(long, default_value_t = 8)]
    one_in: u32,
    /// Steps of each of the three networks.
    #[arg(long, default_value_t = 6500)]
    steps: u64,
    /// Samples in a step.
    #[arg(long, default_value_t = 2048)]
    batch: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// For weights and batches.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Trains and writes the networks.
pub(super) fn expert(args: &ExpertArgs) -> Result<()> {
    let recipe = Recipe {
        steps: args.steps.max(1),
        batch: args.batch,
        rate: args.rate,
        seed: args.seed,
    };
    let (pictures, held_out) = Collection::open(&args.data)?;
    let counts = [pictures.len(), held_out.len()];
    let hash = pictures.content_hash();
    let gather = |pictures: &Collection| gather(pictures, args.reduce, args.one_in.max(1));
    let examples = gather(&pictures)?;
    let held_out = gather(&held_out)?;
    let mut trained = Vec::new();
    for (colours, (examples, held_out)) in examples.iter().zip(&held_out).enumerate() {
        println!("colours known: {colours}; {} samples", examples.len());
        trained.push(match args.device {
            Device::Cpu => on_cpu(examples, held_out, &recipe)?,
            Device::Cuda => on_cuda(examples, held_out, &recipe)?,
        });
    }
    let layers: Vec<_> = trained
        .iter()
        .map(|trained| trained.layers.clone())
        .collect();
    let layers = layers
        .first_chunk()
        .ok_or_else(|| Error::parameter("no networks"))?;
    let file = quantise(layers)?;
    let mut record = format!(
        "# What photo-expert.bin was trained on: `rcodec-train expert` writes this.\n\
         pictures = {}\nheld_out = {}\ndata_hash = \"{hash}\"\nreduce = {}\none_in = {}\n\
         steps = {}\nbatch = {}\nrate = {}\nseed = {}\n",
        counts[0],
        counts[1],
        args.reduce,
        args.one_in,
        recipe.steps,
        recipe.batch,
        recipe.rate,
        recipe.seed
    );
    for (colours, trained) in trained.iter().enumerate() {
        let held_out = &held_out[colours];
        let inputs: Vec<_> = held_out.iter().map(|example| example.inputs).collect();
        let found = outputs(&file, colours, &inputs)?;
        let found: Vec<[f64; 2]> = found
            .iter()
            .map(|v| v.map(|v| f64::from(v) / 1024.0))
            .collect();
        let bits = cost(held_out, &found);
        println!(
            "colours known: {colours}; held out {:.4} bits a sample for {:.4}, in integers {bits:.4}",
            trained.bits, trained.blend_bits
        );
        record += &format!(
            "\n[[network]]\ncolours = {colours}\nsamples = {}\nblend_bits = {:.4}\nbits = {:.4}\n\
             integer_bits = {bits:.4}\n",
            examples[colours].len(),
            trained.blend_bits,
            trained.bits
        );
    }
    fs::write(&args.out, file)?;
    fs::write(args.out.with_extension("toml"), record)?;
    Ok(())
}

#[cfg(feature = "flex")]
fn on_cpu(examples: &[Example], held_out: &[Example], recipe: &Recipe) -> Result<Trained> {
    train::<burn::backend::Flex>(examples, held_out, recipe, Default::default())
}

#[cfg(all(feature = "ndarray", not(feature = "flex")))]
fn on_cpu(examples: &[Example], held_out: &[Example], recipe: &Recipe) -> Result<Trained> {
    train::<burn::backend::NdArray>(examples, held_out, recipe, Default::default())
}

#[cfg(not(any(feature = "flex", feature = "ndarray")))]
fn on_cpu(_examples: &[Example], _held_out: &[Example], _recipe: &Recipe) -> Result<Trained> {
    Err(Error::unsupported("this build has no CPU backend"))
}

#[cfg(feature = "cuda")]
fn on_cuda(examples: &[Example], held_out: &[Example], recipe: &Recipe) -> Result<Trained> {
    let device = super::cuda_device()?;
    train::<burn::backend::Cuda>(examples, held_out, recipe, device)
}

#[cfg(not(feature = "cuda"))]
fn on_cuda(_examples: &[Example], _held_out: &[Example], _recipe: &Recipe) -> Result<Trained> {
    Err(Error::unsupported(
        "this build has no CUDA; build it with --features cuda",
    ))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ExpertArgs,
    }

    #[test]
    fn pictures_in_a_folder_become_a_file_of_networks() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        for seed in 0..60u32 {
            let pixel = |x: u32, y: u32| {
                let noise = (x * 7919 + y * 104_729 + seed).wrapping_mul(0x9e37_79b1) >> 27;
                image::Rgb([
                    (3 * x + noise) as u8,
                    (2 * y + x + noise) as u8,
                    (y + 40) as u8,
                ])
            };
            let picture = image::RgbImage::from_fn(48, 40, pixel);
            picture.save(data.join(format!("{seed}.png"))).unwrap();
        }
        let out = folder.path().join("net.bin");
        let words = ["expert", "--data", data.to_str().unwrap(), "--out"];
        let words = words.into_iter().chain([out.to_str().unwrap()]);
        let words = words.chain(["--steps", "5", "--batch", "64", "--one-in", "2"]);
        expert(&Line::parse_from(words).args).unwrap();
        let file = fs::read(&out).unwrap();
        assert_eq!(outputs(&file, 2, &[[0; 86]]).unwrap().len(), 1);
        let record = fs::read_to_string(out.with_extension("toml")).unwrap();
        let record: toml::Table = record.parse().unwrap();
        assert_eq!(record["network"].as_array().unwrap().len(), 3);
    }
}
