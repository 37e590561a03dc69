//! One line, or one JSON object, per file.

use crate::progress::print_beside_bars;
use rcodec::MediaHeader;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// What was done with a file.
pub(crate) struct FileReport<'a> {
    /// `encoded`, `decoded` or `verified`.
    pub(crate) action: &'static str,
    pub(crate) input: &'a Path,
    /// None where nothing is written.
    pub(crate) output: Option<String>,
    pub(crate) codec: &'static str,
    pub(crate) media: &'a MediaHeader,
    /// Bytes of the media's own file and of the `.rcd` file; of a decode to a
    /// pipe, the former is what was written. The latter is not known where
    /// only a part was read.
    pub(crate) media_bytes: u64,
    pub(crate) rcd_bytes: Option<u64>,
    /// Samples (bytes, for bytes).
    pub(crate) samples: u64,
    pub(crate) elapsed: Duration,
    /// What the user should know beyond the figures.
    pub(crate) note: Option<String>,
}

impl FileReport<'_> {
    /// Prints the report: to standard error if standard output carries data.
    pub(crate) fn print(&self, json: bool, quiet: bool, data_on_stdout: bool) {
        if quiet {
            return;
        }
        let text = if json { self.json() } else { self.line() };
        print_beside_bars(|| match data_on_stdout {
            true => eprintln!("{text}"),
            false => println!("{text}"),
        });
    }

    fn line(&self) -> String {
        let mut line = self.input.display().to_string();
        if let Some(output) = &self.output {
            line += &format!(" -> {output}");
        }
        let media = grouped(self.media_bytes);
        line += &match (self.action, self.rcd_bytes.map(grouped)) {
            ("verified", Some(rcd)) => format!(": {rcd} bytes, verified"),
            ("encoded", Some(rcd)) => format!(": {media} -> {rcd} bytes"),
            (_, Some(rcd)) => format!(": {rcd} -> {media} bytes"),
            (_, None) => format!(": a part, {media} bytes"),
        };
        if let Some(rcd_bytes) = self.rcd_bytes
            && self.media_bytes > 0
            && self.action != "verified"
        {
            let percent = 100.0 * rcd_bytes as f64 / self.media_bytes as f64;
            line += &format!(" ({percent:.1}%)");
        }
        for (value, unit) in [self.rate(), self.speed()].into_iter().flatten() {
            line += &format!(", {value:.2} {unit}");
        }
        line += &format!(", {}", self.codec);
        if let Some(note) = &self.note {
            line += &format!(" [{note}]");
        }
        line
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("action".into(), json!(self.action));
        object.insert("input".into(), json!(self.input.display().to_string()));
        object.insert("output".into(), json!(self.output));
        object.insert("codec".into(), json!(self.codec));
        object.insert("media_bytes".into(), json!(self.media_bytes));
        object.insert("rcd_bytes".into(), json!(self.rcd_bytes));
        object.insert("samples".into(), json!(self.samples));
        object.insert("seconds".into(), json!(self.elapsed.as_secs_f64()));
        for (value, unit) in [self.rate(), self.speed()].into_iter().flatten() {
            object.insert(json_name(unit).into(), json!(value));
        }
        if let Some(note) = &self.note {
            object.insert("note".into(), json!(note));
        }
        Value::Object(object).to_string()
    }

    /// Bits per pixel, per audio sample or per byte.
    fn rate(&self) -> Option<(f64, &'static str)> {
        let bits = self.rcd_bytes? as f64 * 8.0;
        let (units, unit) = match self.media {
            MediaHeader::Image(image) => (
                f64::from(image.width) * f64::from(image.height),
                "bits per pixel",
            ),
            MediaHeader::Audio(_) => (self.samples as f64, "bits per sample"),
            _ => (self.samples as f64, "bits per byte"),
        };
        (units > 0.0).then(|| (bits / units, unit))
    }

    fn speed(&self) -> Option<(f64, &'static str)> {
        let seconds = self.elapsed.as_secs_f64();
        let (units, unit) = match self.media {
            MediaHeader::Image(image) => (
                f64::from(image.width) * f64::from(image.height) / 1e6,
                "MP/s",
            ),
            MediaHeader::Audio(audio) => {
                let frames = self.samples as f64 / f64::from(audio.channels);
                (frames / f64::from(audio.sample_rate), "x real time")
            }
            _ => (self.samples as f64 / 1e6, "MB/s"),
        };
        (seconds > 0.0 && units > 0.0).then(|| (units / seconds, unit))
    }
}

fn json_name(unit: &str) -> &'static str {
    match unit {
        "bits per pixel" => "bits_per_pixel",
        "bits per sample" => "bits_per_sample",
        "bits per byte" => "bits_per_byte",
        "MP/s" => "megapixels_per_second",
        "MB/s" => "megabytes_per_second",
        _ => "times_real_time",
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
