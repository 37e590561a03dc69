//! Measurements, and the file that collects them: one JSON object per line,
//! appended as soon as it is known, so that an interrupted run goes on where it
//! stopped.

use crate::bench::child::Usage;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

/// One encode and decode of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// File hash, tool, version, setting, threads and repetition.
    pub(crate) key: String,
    pub(crate) file: String,
    pub(crate) set: String,
    /// `image`, `audio` or `bytes`.
    pub(crate) media: String,
    pub(crate) tool: String,
    pub(crate) version: String,
    pub(crate) setting: String,
    /// The tool, and what tells its curves apart.
    pub(crate) curve: String,
    /// Quality or bit rate asked for.
    pub(crate) quality: Option<f64>,
    pub(crate) lossy: bool,
    /// `one` or `all`.
    pub(crate) threads: String,
    pub(crate) repeat: u32,
    /// Bytes of the file as it was found.
    pub(crate) source_bytes: u64,
    /// Pixels, sample frames or bytes.
    pub(crate) units: u64,
    /// Of sound.
    pub(crate) seconds: Option<f64>,
    /// Bytes of the encoded file; 0 if there is none.
    pub(crate) bytes: u64,
    pub(crate) encode: Option<Usage>,
    pub(crate) decode: Option<Usage>,
    pub(crate) outcome: Outcome,
    /// By name; only of lossy files.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// A cut of the decoded picture, within the report's folder.
    #[serde(default)]
    pub(crate) crop: Option<String>,
}

/// How a round trip ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Lossless: the same samples came back. Lossy: something comparable did.
    Ok,
    /// A lossless tool gave other samples back.
    Mismatch,
    /// Encoding, decoding or reading failed; why.
    Failed(String),
}

/// The results of a run, on the disk.
pub(crate) struct Results {
    known: HashMap<String, Record>,
    file: Mutex<File>,
}

impl Results {
    /// Opens the file of earlier results, or begins it. A line that was cut off
    /// by an interruption is ignored; what failed is tried again.
    pub(crate) fn open(path: &Path, fresh: bool) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) if !fresh => text,
            Ok(_) => String::new(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let known = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Record>(line).ok())
            .filter(|record| !matches!(record.outcome, Outcome::Failed(_)))
            .map(|record| (record.key.clone(), record))
            .collect();
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if fresh {
            file.set_len(0)?;
        } else if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok(Results {
            known,
            file: Mutex::new(file),
        })
    }

    /// The earlier result with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Record> {
        self.known.get(key)
    }

    /// Appends a result.
    pub(crate) fn append(&self, record: &Record) -> io::Result<()> {
        let line = serde_json::to_string(record)? + "\n";
        let mut file = self
            .file
            .lock()
            .map_err(|_| io::Error::other("a measuring thread panicked"))?;
        file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A lossless result of a file of 1000 bytes.
    pub(crate) fn record(file: &str, tool: &str, setting: &str, bytes: u64) -> Record {
        let usage = Usage {
            wall_seconds: 0.5,
            cpu_seconds: 0.25,
            peak_bytes: 1 << 20,
        };
        Record {
            key: format!("{file}|{tool}|{setting}"),
            file: file.into(),
            set: ".".into(),
            media: "bytes".into(),
            tool: tool.into(),
            version: "1.0".into(),
            setting: setting.into(),
            curve: tool.into(),
            quality: None,
            lossy: false,
            threads: "one".into(),
            repeat: 0,
            source_bytes: 1000,
            units: 1000,
            seconds: None,
            bytes,
            encode: Some(usage),
            decode: Some(usage),
            outcome: Outcome::Ok,
            metrics: BTreeMap::new(),
            crop: None,
        }
    }

    #[test]
    fn a_cut_line_and_failures_are_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let results = Results::open(&path, false).unwrap();
        results.append(&record("a", "xz", "-9", 10)).unwrap();
        let mut failed = record("b", "xz", "-9", 10);
        failed.outcome = Outcome::Failed("no".into());
        results.append(&failed).unwrap();
        drop(results);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"key\":\"c|xz|-9\",\"fi").unwrap();
        drop(file);

        let results = Results::open(&path, false).unwrap();
        assert!(results.get("a|xz|-9").is_some());
        assert!(results.get("b|xz|-9").is_none());
        assert!(results.get("c|xz|-9").is_none());
        results.append(&record("c", "xz", "-9", 10)).unwrap();
        let results = Results::open(&path, false).unwrap();
        assert_eq!(results.get("c|xz|-9").unwrap().bytes, 10);
        assert!(Results::open(&path, true).unwrap().known.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }
}
