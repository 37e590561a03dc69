//! What a lossy round trip did to a picture or to sound.

use crate::bench::corpus::{Loaded, MediaFile, write_wav};
use rcodec::MediaHeader;
use rcodec_metrics::python::PythonMetric;
use rcodec_metrics::{Rgb8, butteraugli, log_mel_distance, ms_ssim_db, ms_ssim_rgb, psnr_rgb};
use rcodec_metrics::{psnr_y, segmental_snr_db, snr_db, ssimulacra2};
use std::collections::BTreeMap;
use std::path::Path;

/// A metric in reports.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) larger_is_better: bool,
}

const fn metric(name: &'static str, label: &'static str, larger_is_better: bool) -> Metric {
    Metric {
        name,
        label,
        larger_is_better,
    }
}

/// All metrics, in the order of reports.
pub(crate) const METRICS: &[Metric] = &[
    metric("psnr_rgb", "PSNR (RGB), dB", true),
    metric("psnr_y", "PSNR (Y), dB", true),
    metric("ms_ssim_db", "MS-SSIM (RGB), dB", true),
    metric("ssimulacra2", "SSIMULACRA2", true),
    metric("butteraugli_3norm", "Butteraugli 3-norm", false),
    metric("butteraugli_max", "Butteraugli max", false),
    metric("snr_db", "SNR, dB", true),
    metric("segmental_snr_db", "segmental SNR, dB", true),
    metric("log_mel", "log-mel distance", false),
    metric("zimtohrli", "Zimtohrli", false),
    metric("pesq_wb", "PESQ-WB", true),
    metric("estoi", "ESTOI", true),
    metric("visqol_audio", "ViSQOL audio", true),
];

/// The metrics of a picture; those it is too small for are left out.
pub(crate) fn of_picture(original: &Rgb8, decoded: &Rgb8) -> Result<BTreeMap<String, f64>, String> {
    let mut values = BTreeMap::new();
    let mut add = |name: &str, value: f64| values.insert(name.to_string(), value);
    add(
        "psnr_rgb",
        psnr_rgb(original, decoded).map_err(|e| e.to_string())?,
    );
    add(
        "psnr_y",
        psnr_y(original, decoded).map_err(|e| e.to_string())?,
    );
    if let Ok(value) = ms_ssim_rgb(original, decoded) {
        add("ms_ssim_db", ms_ssim_db(value));
    }
    if let Ok(value) = ssimulacra2(original, decoded) {
        add("ssimulacra2", value);
    }
    if let Ok(value) = butteraugli(original, decoded) {
        add("butteraugli_3norm", value.norm3);
        add("butteraugli_max", value.max);
    }
    // JSON knows no infinity; 100 dB stands for equal.
    values.values_mut().for_each(|v| *v = v.min(100.0));
    Ok(values)
}

/// The metrics of sound, each channel on its own, then the mean. What a codec
/// cut off or added at the end is made equal first.
pub(crate) fn of_sound(
    original: &MediaFile,
    decoded: &MediaFile,
    python: &[PythonMetric],
    folder: &Path,
) -> Result<BTreeMap<String, f64>, String> {
    let (MediaHeader::Audio(header), MediaHeader::Audio(other)) =
        (&original.header, &decoded.header)
    else {
        return Err("not sound".into());
    };
    if (header.sample_rate, header.channels) != (other.sample_rate, other.channels) {
        return Err("another sample rate or number of channels came back".into());
    }
    let (before, mut after) = (original.channels()?, decoded.channels()?);
    for (x, y) in before.iter().zip(&mut after) {
        y.resize(x.len(), 0.0);
    }
    let rate = header.sample_rate;
    let channels: Vec<(&[f32], &[f32])> = before
        .iter()
        .zip(&after)
        .map(|(x, y)| (x.as_slice(), y.as_slice()))
        .collect();
    let snr = mean(&channels, snr_db)?;
    let segmental = mean(&channels, |x, y| segmental_snr_db(x, y, rate))?;
    let log_mel = mean(&channels, |x, y| log_mel_distance(x, y, rate))?;
    let mut values: BTreeMap<String, f64> = [
        ("snr_db", snr),
        ("segmental_snr_db", segmental),
        ("log_mel", log_mel),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();
    if !python.is_empty() {
        let (a, b) = (folder.join("before.wav"), folder.join("after.wav"));
        write_equal_lengths(original, decoded, &a, &b)?;
        for metric in python {
            // What a package cannot compare (PESQ: silence) has no value.
            if let Ok(value) = metric.measure(&a, &b) {
                values.insert(metric.name().into(), value);
            }
        }
    }
    Ok(values)
}

/// The mean of a metric over pairs of channels; 100 stands for infinity, which
/// JSON does not know.
fn mean(
    channels: &[(&[f32], &[f32])],
    metric: impl Fn(&[f32], &[f32]) -> rcodec::Result<f64>,
) -> Result<f64, String> {
    let mut sum = 0.0;
    for (x, y) in channels {
        sum += metric(x, y).map_err(|e| e.to_string())?;
    }
    Ok((sum / channels.len() as f64).clamp(-100.0, 100.0))
}

fn write_equal_lengths(
    original: &MediaFile,
    decoded: &MediaFile,
    a: &Path,
    b: &Path,
) -> Result<(), String> {
    let MediaHeader::Audio(header) = &original.header else {
        return Err("not sound".into());
    };
    let (Loaded::Audio(before), Loaded::Audio(after)) = (&original.samples, &decoded.samples)
    else {
        return Err("not sound".into());
    };
    let mut after = after.clone();
    after.resize(before.len(), 0);
    write_wav(a, header, before.clone())?;
    write_wav(b, header, after)
}
