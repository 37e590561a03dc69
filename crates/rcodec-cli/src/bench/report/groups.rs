//! From single measurements to sums over sets of files.

use crate::bench::child::Usage;
use crate::bench::record::{Outcome, Record};
use std::collections::{BTreeMap, HashMap};

/// All repetitions of one file, tool, setting and threading.
#[derive(Debug, Clone)]
pub(crate) struct Single<'a> {
    /// The first repetition.
    pub(crate) record: &'a Record,
    /// Medians.
    pub(crate) encode: Option<Usage>,
    pub(crate) decode: Option<Usage>,
    /// Every repetition succeeded.
    pub(crate) ok: bool,
}

/// Joins the repetitions, in the order of the records.
pub(crate) fn singles(records: &[Record]) -> Vec<Single<'_>> {
    let mut order = Vec::new();
    let mut groups: HashMap<(&str, &str, &str, &str), Vec<&Record>> = HashMap::new();
    for record in records {
        let key = (
            record.file.as_str(),
            record.tool.as_str(),
            record.setting.as_str(),
            record.threads.as_str(),
        );
        let group = groups.entry(key).or_insert_with(|| {
            order.push(key);
            Vec::new()
        });
        group.push(record);
    }
    order
        .iter()
        .filter_map(|key| groups.get(key))
        .map(|group| Single {
            record: group[0],
            encode: median(group.iter().filter_map(|r| r.encode)),
            decode: median(group.iter().filter_map(|r| r.decode)),
            ok: group.iter().all(|r| r.outcome == Outcome::Ok),
        })
        .collect()
}

/// The median of each quantity on its own.
fn median(usages: impl Iterator<Item = Usage>) -> Option<Usage> {
    let usages: Vec<Usage> = usages.collect();
    let of = |f: fn(&Usage) -> f64| {
        let mut values: Vec<f64> = usages.iter().map(f).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        if values.is_empty() {
            None
        } else if values.len() % 2 == 1 {
            Some(values[middle])
        } else {
            Some((values[middle - 1] + values[middle]) / 2.0)
        }
    };
    Some(Usage {
        wall_seconds: of(|u| u.wall_seconds)?,
        cpu_seconds: of(|u| u.cpu_seconds)?,
        peak_bytes: of(|u| u.peak_bytes as f64)? as u64,
    })
}

/// One setting of one tool over a set of files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group<'a> {
    pub(crate) tool: &'a str,
    pub(crate) setting: &'a str,
    pub(crate) curve: &'a str,
    /// Of the files that went well.
    pub(crate) files: usize,
    pub(crate) failed: usize,
    pub(crate) bytes: u64,
    pub(crate) source_bytes: u64,
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    pub(crate) one: Sums,
    pub(crate) all: Sums,
    /// File names to bytes.
    pub(crate) sizes: BTreeMap<&'a str, u64>,
    /// File names to bits per unit (kbit/s for sound) and metrics.
    pub(crate) points: BTreeMap<&'a str, (f64, &'a BTreeMap<String, f64>)>,
}

/// Sums over files, at one way of threading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pub(crate) encode: Sum,
    pub(crate) decode: Sum,
}

/// Times added, peaks compared; the units (pixels, seconds of sound, bytes)
/// that took them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) amount: f64,
}

impl Sum {
    fn add(&mut self, usage: Option<Usage>, amount: f64) {
        if let Some(usage) = usage {
            self.wall_seconds += usage.wall_seconds;
            self.cpu_seconds += usage.cpu_seconds;
            self.peak_bytes = self.peak_bytes.max(usage.peak_bytes);
            self.amount += amount;
        }
    }

    /// Megapixels, seconds of sound or megabytes per second of CPU time.
    pub(crate) fn cpu_speed(&self) -> Option<f64> {
        (self.cpu_seconds > 0.0).then(|| self.amount / self.cpu_seconds)
    }

    /// The same per second of wall time.
    pub(crate) fn wall_speed(&self) -> Option<f64> {
        (self.wall_seconds > 0.0).then(|| self.amount / self.wall_seconds)
    }
}

/// Groups by tool and setting, in the order of the measurements.
pub(crate) fn groups<'a>(singles: &[&Single<'a>]) -> Vec<Group<'a>> {
    let mut out: Vec<Group<'a>> = Vec::new();
    for single in singles {
        let record = single.record;
        let at = out
            .iter()
            .position(|g| g.tool == record.tool && g.setting == record.setting);
        let at = at.unwrap_or_else(|| {
            out.push(Group {
                tool: &record.tool,
                setting: &record.setting,
                curve: &record.curve,
                ..Group::default()
            });
            out.len() - 1
        });
        add(&mut out[at], single);
    }
    out
}

fn add<'a>(group: &mut Group<'a>, single: &Single<'a>) {
    let record = single.record;
    if !single.ok {
        group.failed += 1;
        return;
    }
    let amount = record.seconds.unwrap_or(record.units as f64 / 1e6);
    let sums = if record.threads == "all" {
        &mut group.all
    } else {
        &mut group.one
    };
    sums.encode.add(single.encode, amount);
    sums.decode.add(single.decode, amount);
    if group.sizes.contains_key(record.file.as_str()) {
        // The same with all threads: sizes may differ, the first counts.
        return;
    }
    group.files += 1;
    group.bytes += record.bytes;
    group.source_bytes += record.source_bytes;
    group.units += record.units;
    group.seconds += record.seconds.unwrap_or(0.0);
    group.sizes.insert(&record.file, record.bytes);
    group
        .points
        .insert(&record.file, (rate(record), &record.metrics));
}

/// Bits per pixel or byte; kbit/s of sound.
pub(crate) fn rate(record: &Record) -> f64 {
    let bits = record.bytes as f64 * 8.0;
    match record.seconds {
        Some(seconds) => bits / seconds / 1000.0,
        None => bits / record.units as f64,
    }
}

impl Group<'_> {
    /// By how many percent the files are larger than those of another group,
    /// over the files that both have.
    pub(crate) fn percent_above(&self, other: &Group<'_>) -> Option<f64> {
        let (mut ours, mut theirs) = (0u64, 0u64);
        for (file, bytes) in &self.sizes {
            if let Some(other) = other.sizes.get(file) {
                ours += bytes;
                theirs += other;
            }
        }
        (theirs > 0).then(|| 100.0 * (ours as f64 / theirs as f64 - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::tests::record;

    #[test]
    fn repetitions_become_medians_and_files_sums() {
        let mut records = Vec::new();
        for (repeat, seconds) in [(0, 3.0), (1, 1.0), (2, 2.0)] {
            let mut record = record("a", "xz", "-9", 100);
            record.repeat = repeat;
            if let Some(usage) = &mut record.encode {
                usage.cpu_seconds = seconds;
            }
            records.push(record);
        }
        records.push(record("b", "xz", "-9", 50));
        let mut other = record("b", "brotli", "-q 11", 40);
        records.push(other.clone());
        other.file = "c".into();
        other.outcome = Outcome::Mismatch;
        records.push(other);

        let singles = singles(&records);
        assert_eq!(singles.len(), 4);
        assert_eq!(singles[0].encode.unwrap().cpu_seconds, 2.0);
        let groups = groups(&singles.iter().collect::<Vec<_>>());
        assert_eq!((groups[0].files, groups[0].bytes), (2, 150));
        assert!((groups[0].one.encode.cpu_seconds - 2.25).abs() < 1e-9);
        assert_eq!((groups[1].files, groups[1].failed), (1, 1));
        // Only the file they share counts.
        let percent = groups[1].percent_above(&groups[0]).unwrap();
        assert!((percent + 20.0).abs() < 1e-9);
    }
}
