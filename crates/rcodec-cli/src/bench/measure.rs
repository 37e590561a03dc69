//! One measurement: encode, decode, compare.

use crate::bench::child::{Helper, Order, Ran, Usage};
use crate::bench::corpus::{Item, MediaFile, load, load_as, write_rgb};
use crate::bench::quality;
use crate::bench::record::{Outcome, Record};
use crate::bench::tool::{Fill, Setting, Template, Threads, Tool};
use rcodec::MediaKind;
use rcodec_metrics::Rgb8;
use rcodec_metrics::python::PythonMetric;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The side of the cuts that the report shows.
const CROP_PIXELS: usize = 256;

/// One thing to do.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) item: &'a Item,
    pub(crate) tool: &'a Tool,
    pub(crate) setting: &'a Setting,
    pub(crate) threads: Threads,
    pub(crate) repeat: u32,
}

impl Task<'_> {
    /// What tells one measurement from every other.
    pub(crate) fn key(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}|{}",
            self.item.hash,
            self.tool.name,
            self.tool.version,
            self.setting.label,
            self.threads.name(),
            self.repeat
        )
    }
}

/// A file in memory with its plain forms on the disk.
pub(crate) struct Prepared {
    file: MediaFile,
    digest: u64,
    rgb: Option<Rgb8>,
    /// Left and upper edge of the cut.
    crop_at: (usize, usize),
}

impl Prepared {
    pub(crate) fn new(item: &Item) -> Result<Self, String> {
        let file = load(&item.path)?;
        let digest = file.digest();
        Ok(Prepared {
            file,
            digest,
            rgb: None,
            crop_at: (0, 0),
        })
    }

    fn rgb(&mut self) -> Result<&Rgb8, String> {
        if self.rgb.is_none() {
            let rgb = self.file.rgb8()?;
            self.crop_at = busiest_window(&rgb);
            self.rgb = Some(rgb);
        }
        self.rgb.as_ref().ok_or_else(|| "no pixels".into())
    }
}

/// The window with most detail: the greatest sum of differences between
/// neighbours, on a grid of half windows.
fn busiest_window(picture: &Rgb8) -> (usize, usize) {
    let step = CROP_PIXELS / 2;
    let mut best = (0, (0, 0));
    for y in (0..=picture.height().saturating_sub(CROP_PIXELS)).step_by(step) {
        for x in (0..=picture.width().saturating_sub(CROP_PIXELS)).step_by(step) {
            let crop = picture.crop(x, y, CROP_PIXELS, CROP_PIXELS);
            let pairs = crop.samples().iter().zip(crop.samples().iter().skip(3));
            let detail: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            if detail > best.0 {
                best = (detail, (x, y));
            }
        }
    }
    best.1
}

/// What measuring needs beside the task.
pub(crate) struct Bench<'a> {
    pub(crate) helper: &'a mut Helper,
    /// Folder of plain files and results, this thread's own.
    pub(crate) folder: &'a Path,
    /// Where cuts of decoded pictures go; none for files that are not shown.
    pub(crate) crops: Option<&'a Path>,
    pub(crate) python: &'a [PythonMetric],
    pub(crate) timeout_seconds: u64,
}

/// Encodes, decodes, and compares.
pub(crate) fn measure(task: &Task<'_>, prepared: &mut Prepared, bench: &mut Bench<'_>) -> Record {
    let mut record = nothing_yet(task);
    match round_trip(task, prepared, bench, &mut record) {
        Ok(outcome) => record.outcome = outcome,
        Err(why) => record.outcome = Outcome::Failed(why),
    }
    record
}

/// The record of a file that cannot be read any more.
pub(crate) fn unreadable(task: &Task<'_>, why: String) -> Record {
    Record {
        outcome: Outcome::Failed(why),
        ..nothing_yet(task)
    }
}

fn nothing_yet(task: &Task<'_>) -> Record {
    let item = task.item;
    Record {
        key: task.key(),
        file: item.name.clone(),
        set: item.set.clone(),
        media: media_name(item.kind()).into(),
        tool: task.tool.name.clone(),
        version: task.tool.version.clone(),
        setting: task.setting.label.clone(),
        curve: format!("{} {}", task.tool.name, task.setting.curve)
            .trim()
            .into(),
        quality: task.setting.quality,
        lossy: task.tool.lossy,
        threads: task.threads.name().into(),
        repeat: task.repeat,
        source_bytes: item.source_bytes,
        units: item.units,
        seconds: item.seconds(),
        bytes: 0,
        encode: None,
        decode: None,
        outcome: Outcome::Ok,
        metrics: BTreeMap::new(),
        crop: None,
    }
}

fn round_trip(
    task: &Task<'_>,
    prepared: &mut Prepared,
    bench: &mut Bench<'_>,
    record: &mut Record,
) -> Result<Outcome, String> {
    let tool = task.tool;
    let input = prepared
        .file
        .write_plain(tool.reads, tool.lossy, bench.folder)?;
    let encoded = bench.folder.join(format!("encoded.{}", tool.extension));
    let usage =
        run(task, &tool.encode, &input, &encoded, bench).map_err(|e| format!("encode: {e}"))?;
    record.encode = Some(usage);
    record.bytes = fs::metadata(&encoded)
        .map_err(|_| "encode: it wrote no file".to_string())?
        .len();
    let extension = prepared.file.plain_extension(tool.gives, tool.lossy);
    let decoded = bench.folder.join(format!("decoded.{extension}"));
    let decoded = match &tool.decode {
        Some(template) => {
            let usage = run(task, template, &encoded, &decoded, bench)
                .map_err(|e| format!("decode: {e}"))?;
            record.decode = Some(usage);
            decoded
        }
        None => encoded.clone(),
    };
    let result = compare(task, prepared, &decoded, bench, record);
    for path in [&encoded, &decoded] {
        // Gone already where both are one, or nothing was written.
        let _ = fs::remove_file(path);
    }
    result
}

fn compare(
    task: &Task<'_>,
    prepared: &mut Prepared,
    decoded: &Path,
    bench: &mut Bench<'_>,
    record: &mut Record,
) -> Result<Outcome, String> {
    let unreadable = |why: String| format!("what was decoded cannot be read: {why}");
    let file = load_as(decoded, task.item.kind()).map_err(unreadable)?;
    if !task.tool.lossy {
        let same = file.digest() == prepared.digest;
        return Ok(if same { Outcome::Ok } else { Outcome::Mismatch });
    }
    if task.repeat > 0 || task.threads == Threads::All {
        // The same bytes again, only timed.
        return Ok(Outcome::Ok);
    }
    if task.item.kind() == MediaKind::Audio {
        record.metrics = quality::of_sound(&prepared.file, &file, bench.python, bench.folder)?;
        return Ok(Outcome::Ok);
    }
    let picture = file.rgb8().map_err(unreadable)?;
    let original = prepared.rgb()?;
    record.metrics = quality::of_picture(original, &picture)?;
    if let Some(crops) = bench.crops {
        let name = format!(
            "{}-{}-{}.png",
            task.item.hash,
            task.tool.name,
            slug(&task.setting.label)
        );
        let (x, y) = prepared.crop_at;
        save_crop(&picture, (x, y), &crops.join(&name))?;
        let original_path = crops.join(format!("{}-original.png", task.item.hash));
        if !original_path.exists() {
            let original = prepared.rgb()?.clone();
            save_crop(&original, (x, y), &original_path)?;
        }
        record.crop = Some(name);
    }
    Ok(Outcome::Ok)
}

fn save_crop(picture: &Rgb8, at: (usize, usize), path: &Path) -> Result<(), String> {
    write_rgb(path, &picture.crop(at.0, at.1, CROP_PIXELS, CROP_PIXELS))
}

/// A label as part of a file name.
fn slug(label: &str) -> String {
    let mut out = String::new();
    for c in label.chars() {
        if c.is_ascii_alphanumeric() || c == '.' {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    out
}

fn run(
    task: &Task<'_>,
    template: &Template,
    input: &Path,
    output: &Path,
    bench: &mut Bench<'_>,
) -> Result<Usage, String> {
    // Some programs refuse to overwrite, 7z would add to what is there.
    let _ = fs::remove_file(output);
    let fill = Fill {
        setting: task.setting,
        threads: task.threads,
        input,
        output,
        sample_rate: task.item.sample_rate(),
    };
    let order = Order {
        program: template.program.clone(),
        args: task.tool.fill(template, &fill),
        stdout: template.to_stdout.then(|| PathBuf::from(output)),
        folder: bench.folder.to_path_buf(),
        timeout_seconds: bench.timeout_seconds,
    };
    match bench.helper.run(&order).map_err(|e| e.to_string())? {
        Ran::Done(usage) => Ok(usage),
        Ran::Failed(why) => Err(why),
    }
}

pub(crate) fn media_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Bytes => "bytes",
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn labels_become_file_names() {
        assert_eq!(slug("-e 5 -q 30"), "e_5_q_30");
        assert_eq!(slug("-a cq-level=63"), "a_cq_level_63");
        assert_eq!(slug("--bitrate 24"), "bitrate_24");
    }
}
