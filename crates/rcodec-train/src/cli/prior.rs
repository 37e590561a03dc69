//! `rcodec-train prior`: makes a prior for the codec `text` of one's own files.

use super::export::enter;
use clap::Args;
use rcodec_core::{Error, Result};
use rcodec_text::{PriorOptions, train_prior};
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Makes a prior: what the codec `text` knows before the first byte of a file.
#[derive(Debug, Args)]
pub(super) struct PriorArgs {
    /// Folder of texts, some megabytes of what will be encoded; the folders in
    /// it are read, too.
    #[arg(long)]
    data: PathBuf,
    /// The model file to write.
    #[arg(long, default_value = "prior.rcm")]
    out: PathBuf,
    /// What the prior is called.
    #[arg(long, default_value = "own")]
    variant: String,
    /// Its version.
    #[arg(long, default_value_t = 1)]
    version: u32,
    /// Contexts to keep: a prior takes about 5 bytes for each.
    #[arg(long, default_value_t = PriorOptions::default().slots)]
    slots: usize,
    /// Licences of the texts.
    #[arg(long, default_value = "")]
    licence: String,
    /// Anything else worth recording.
    #[arg(long, default_value = "")]
    notes: String,
    /// Enter the prior into this list of models (MANIFEST.toml).
    #[arg(long)]
    manifest: Option<PathBuf>,
}

/// Trains and writes a prior.
pub(super) fn prior(args: &PriorArgs) -> Result<()> {
    let files = files_of(&args.data)?;
    let mut hasher = blake3::Hasher::new();
    let mut texts = Vec::new();
    for file in &files {
        let text = fs::read(file)?;
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(&text);
        texts.push(text);
    }
    let bytes: usize = texts.iter().map(Vec::len).sum();
    println!("{} files, {bytes} bytes", files.len());
    let options = PriorOptions {
        variant: args.variant.clone(),
        version: args.version,
        slots: args.slots,
        licence: args.licence.clone(),
        data_hash: hasher.finalize().to_hex().to_string(),
        notes: args.notes.clone(),
    };
    let (model, file) = train_prior(&texts, &options)?.build()?;
    fs::write(&args.out, &file)?;
    println!("{}: {} bytes", model.name(), file.len());
    match &args.manifest {
        Some(manifest) => enter(manifest, &args.out, (&model, &file), None),
        None => Ok(()),
    }
}

/// All files of a folder, by their paths.
pub(super) fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::Parameter(error.to_string()))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c", "a", "b/z", "b/x"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let files = files_of(folder.path()).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|f| f.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b/x", "b/z", "c"]);
    }
}
