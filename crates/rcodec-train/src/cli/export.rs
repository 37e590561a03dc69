//! `rcodec-train export`: from a checkpoint to a model file and its record.

use crate::codec::IntegerCodec;
use crate::data::Collection;
use crate::export::manifest::{Entry, Loss, Manifest};
use crate::export::{model_data, parse_name, validate_integer};
use crate::graph::lossy::LossyGraphs;
use crate::recipe::ValidationConfig;
use crate::train::{Checkpoint, Figures};
use clap::Args;
use rcodec_core::{Budget, Error, Limits, Result};
use rcodec_fixed::Engine;
use rcodec_model::{Model, Record};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// A checkpoint's folder, or the folder of a run: its latest one.
    checkpoint: PathBuf,
    /// The model file to write.
    #[arg(long)]
    out: PathBuf,
    /// Folder of pictures: measures the model before and after quantisation on
    /// those held out, and keeps the figures in the file.
    #[arg(long)]
    data: Option<PathBuf>,
    /// With --data: held-out pictures on which training's arithmetic and the
    /// exported model must give the same integers, on every instruction set.
    #[arg(long, default_value_t = 2)]
    compare: usize,
    /// A list of models (TOML) to enter this one into.
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// Licences of the training data and of the model, for the record.
    #[arg(long, default_value = "")]
    licence: String,
    /// Anything else, for the record.
    #[arg(long, default_value = "")]
    notes: String,
}

/// Figures of one model in three kinds of arithmetic.
struct Measured {
    /// burn, in floats.
    float: Vec<Figures>,
    /// burn, by the integer rules.
    quantized: Vec<Figures>,
    /// The exported model.
    integer: Vec<Figures>,
}

/// Writes the model file of a checkpoint.
pub(super) fn export(args: &ExportArgs) -> Result<()> {
    let path = &args.checkpoint;
    let found = Checkpoint::latest(path)?;
    let checkpoint =
        found.ok_or_else(|| Error::Parameter(format!("{}: no checkpoint", path.display())))?;
    let graphs = LossyGraphs::new(&checkpoint.recipe.network);
    let weights = &checkpoint.adam.ema;
    if graphs.layout.fingerprint() != checkpoint.fingerprint || weights.len() != graphs.layout.len()
    {
        return Err(Error::parameter(
            "a checkpoint of another version's network",
        ));
    }
    let mut record = record(&checkpoint, args)?;
    let mut measured = None;
    if let Some(data) = &args.data {
        let (model, _) = model_data(&graphs, weights, record.clone())?.build()?;
        let (_, held_out) = Collection::open(data)?;
        if held_out.is_empty() {
            println!("no picture is held out: nothing is measured");
        } else {
            compare(
                &graphs,
                weights,
                &model,
                (&held_out, &checkpoint, args.compare),
            )?;
            let figures = measure(&graphs, weights, &model, (&held_out, &checkpoint))?;
            record.validation_float = by_name(&figures.float);
            record.validation_integer = by_name(&figures.integer);
            measured = Some(figures);
        }
    }
    let (model, file) = model_data(&graphs, weights, record)?.build()?;
    std::fs::write(&args.out, &file)?;
    println!(
        "{}: {} bytes, {} weights, step {}",
        model.name(),
        file.len(),
        graphs.layout.len(),
        checkpoint.progress.step
    );
    if let Some(manifest) = &args.manifest {
        enter(manifest, &args.out, (&model, &file), measured.as_ref())?;
    }
    Ok(())
}

/// The export must change nothing.
#[cfg(feature = "flex")]
fn compare(
    graphs: &LossyGraphs,
    weights: &[f32],
    model: &Model,
    (held_out, checkpoint, pictures): (&Collection, &Checkpoint, usize),
) -> Result<()> {
    let config = ValidationConfig {
        pictures,
        ..checkpoint.recipe.validation.clone()
    };
    let on = (held_out, &config);
    let count = crate::export::equality::compare_pictures(graphs, weights, model, on)?;
    println!("training's arithmetic and the model agree in all of {count} integers");
    Ok(())
}

#[cfg(not(feature = "flex"))]
fn compare(
    _graphs: &LossyGraphs,
    _weights: &[f32],
    _model: &Model,
    _on: (&Collection, &Checkpoint, usize),
) -> Result<()> {
    Ok(())
}

/// Measures a model in all three kinds of arithmetic and prints a table.
fn measure(
    graphs: &LossyGraphs,
    weights: &[f32],
    model: &Model,
    (held_out, checkpoint): (&Collection, &Checkpoint),
) -> Result<Measured> {
    let recipe = &checkpoint.recipe;
    let on = (held_out, &recipe.validation);
    let budget = Budget::new(Limits::unlimited());
    let mut codec = IntegerCodec::new(model, Engine::new(), &budget)?;
    let rd_lambda = |quality: usize| f64::from(recipe.network.rd_lambda(quality as f32));
    let measured = Measured {
        float: validate_on_cpu(graphs, weights, false, on)?,
        quantized: validate_on_cpu(graphs, weights, true, on)?,
        integer: validate_integer(&mut codec, rd_lambda, on)?,
    };
    println!("quality  arithmetic   bits/pixel  PSNR dB     loss");
    for (i, float) in measured.float.iter().enumerate() {
        for (name, figures) in [
            ("float", float),
            ("quantised", &measured.quantized[i]),
            ("exported", &measured.integer[i]),
        ] {
            println!(
                "{:7}  {name:10}  {:11.5}  {:7.4}  {:.5} ({:+.3}%)",
                figures.quality,
                figures.bpp(),
                figures.psnr_db,
                figures.loss,
                100.0 * (figures.loss / float.loss - 1.0),
            );
        }
    }
    Ok(measured)
}

/// Enters a model into a list of models.
pub(super) fn enter(
    manifest: &Path,
    out: &Path,
    (model, file): (&Model, &[u8]),
    measured: Option<&Measured>,
) -> Result<()> {
    let losses = |m: &Measured| {
        let rows = m.float.iter().zip(&m.quantized).zip(&m.integer);
        let rows = rows.map(|((float, quantized), exported)| Loss {
            quality: float.quality,
            bpp: exported.bpp(),
            psnr_db: exported.psnr_db,
            loss_float: float.loss,
            loss_quantized: quantized.loss,
            loss_exported: exported.loss,
        });
        rows.collect()
    };
    let name = out.file_name().unwrap_or_default();
    let mut list = Manifest::read(manifest)?;
    list.enter(Entry {
        name: model.name(),
        file: name.to_string_lossy().into_owned(),
        bytes: file.len(),
        blake3: blake3::hash(file).to_hex().to_string(),
        record: model.data().record.clone(),
        validation: measured.map(losses).unwrap_or_default(),
    });
    list.write(manifest)
}

/// How a checkpoint came to be.
fn record(checkpoint: &Checkpoint, args: &ExportArgs) -> Result<Record> {
    let (family, variant, version) = parse_name(&checkpoint.recipe.name);
    let recipe =
        toml::to_string(&checkpoint.recipe).map_err(|error| Error::Parameter(error.to_string()))?;
    Ok(Record {
        family,
        variant,
        version,
        recipe_hash: blake3::hash(recipe.as_bytes()).to_hex().to_string(),
        data_hash: checkpoint.progress.data_hash.clone(),
        steps: checkpoint.progress.step,
        hours: checkpoint.progress.hours,
        device: checkpoint.progress.device.clone(),
        licence: args.licence.clone(),
        notes: args.notes.clone(),
        ..Record::default()
    })
}

/// Figures by name and unit.
fn by_name(all: &[Figures]) -> BTreeMap<String, f64> {
    let entries = all.iter().flat_map(|f| {
        let at = |name: &str| format!("{name}_quality{}", f.quality);
        [(at("bpp"), f.bpp()), (at("psnr_db"), f.psnr_db)]
    });
    entries.collect()
}

#[cfg(feature = "flex")]
fn validate_on_cpu(
    graphs: &LossyGraphs,
    weights: &[f32],
    quantized: bool,
    on: (&Collection, &ValidationConfig),
) -> Result<Vec<Figures>> {
    crate::train::validate::<burn::backend::Flex>(
        graphs,
        weights,
        quantized,
        on,
        &Default::default(),
    )
}

#[cfg(not(feature = "flex"))]
fn validate_on_cpu(
    _graphs: &LossyGraphs,
    _weights: &[f32],
    _quantized: bool,
    _on: (&Collection, &ValidationConfig),
) -> Result<Vec<Figures>> {
    Err(Error::unsupported("measuring needs the feature flex"))
}
