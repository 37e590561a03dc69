//! The tables of one section: one kind of media, lossless or lossy.

use super::curves::bd_rates;
use super::groups::{Group, Single, groups, rate};
use super::table::{Cell, Table};
use crate::bench::quality::METRICS;
use crate::bench::record::Outcome;

/// Rows in the table of every measurement; the rest is in the CSV file.
const MOST_ROWS: usize = 4000;

/// The anchors where the user names none, best first.
const LOSSY_ANCHORS: &[&str] = &["avif", "opus", "jpeg", "vorbis"];
const LOSSLESS_ANCHORS: &[&str] = &["jxl", "flac", "zstd-cli", "oxipng", "webp", "xz"];

/// The groups of a section: of all files, and of each set.
pub(crate) struct Section<'a> {
    media: &'a str,
    pub(crate) lossy: bool,
    anchor: Option<String>,
    /// Name and groups; all files first.
    sets: Vec<(String, Vec<Group<'a>>)>,
}

/// Groups of one curve, by its name, in their order.
pub(crate) fn by_curve<'g, 'a>(groups: &'g [Group<'a>]) -> Vec<(&'a str, Vec<&'g Group<'a>>)> {
    let mut curves: Vec<(&str, Vec<&Group<'a>>)> = Vec::new();
    for group in groups {
        match curves.iter_mut().find(|(name, _)| *name == group.curve) {
            Some((_, list)) => list.push(group),
            None => curves.push((group.curve, vec![group])),
        }
    }
    curves
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        media: &'a str,
        lossy: bool,
        anchor: Option<&str>,
        singles: &[&Single<'a>],
    ) -> Self {
        let total = groups(singles);
        let mut names: Vec<&str> = singles.iter().map(|s| s.record.set.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut sets = vec![("all files".to_string(), total)];
        if names.len() > 1 {
            for name in names {
                let of_set: Vec<&Single<'a>> = singles
                    .iter()
                    .copied()
                    .filter(|s| s.record.set == name)
                    .collect();
                sets.push((name.to_string(), groups(&of_set)));
            }
        }
        let has = |name: &str| sets[0].1.iter().any(|g| g.tool == name || g.curve == name);
        let defaults = if lossy {
            LOSSY_ANCHORS
        } else {
            LOSSLESS_ANCHORS
        };
        let anchor = anchor
            .filter(|name| has(name))
            .or_else(|| defaults.iter().copied().find(|name| has(name)))
            .map(String::from);
        Section {
            media,
            lossy,
            anchor,
            sets,
        }
    }

    /// The groups over all files.
    pub(crate) fn total(&self) -> &[Group<'a>] {
        &self.sets[0].1
    }

    /// The files that the most thorough tool got through.
    pub(crate) fn files(&self) -> usize {
        self.total().iter().map(|g| g.files).max().unwrap_or(0)
    }

    pub(crate) fn unit_label(&self) -> &'static str {
        match self.media {
            "image" => "bits per pixel",
            "audio" => "kbit/s",
            _ => "bits per byte",
        }
    }

    pub(crate) fn rate_label(&self) -> &'static str {
        self.unit_label()
    }

    pub(crate) fn speed_unit(&self) -> &'static str {
        match self.media {
            "image" => "MP/s",
            "audio" => "x real time",
            _ => "MB/s",
        }
    }

    /// The mean rate of a group: of all its bits.
    pub(crate) fn bits_per_unit(&self, group: &Group<'_>) -> Option<f64> {
        let bits = group.bytes as f64 * 8.0;
        if self.media == "audio" {
            (group.seconds > 0.0).then(|| bits / group.seconds / 1000.0)
        } else {
            rcodec_metrics::bits_per_unit(group.bytes, group.units)
        }
    }

    /// What the tables' columns mean.
    pub(crate) fn note(&self) -> String {
        let speed = "Speeds are of CPU time with one thread; «all threads» of wall time.";
        let anchor = match &self.anchor {
            Some(anchor) => format!("compared with {anchor}"),
            None => "compared with nothing, since no anchor was measured".to_string(),
        };
        if self.lossy {
            format!(
                "BD-rate: how many percent more bits the same quality needs, {anchor} \
                 (PCHIP, of the mean curves; in brackets the median over the files). Negative is \
                 better. {speed}"
            )
        } else {
            format!(
                "Every size is of a file that was decoded and compared with the original. \
                 Percentages: against the files as they were found, and {anchor}, over the files \
                 that both have. {speed} Programs without a decoder of their own have no decoding \
                 speed."
            )
        }
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for (name, groups) in &self.sets {
            if self.lossy {
                tables.extend(self.bd_table(name, groups));
            } else {
                tables.push(self.size_table(name, groups));
            }
        }
        if self.lossy {
            tables.push(self.points_table());
        }
        tables
    }

    fn anchor_group<'g>(&self, groups: &'g [Group<'a>]) -> Option<&'g Group<'a>> {
        let name = self.anchor.as_deref()?;
        // Of several settings the smallest counts.
        let named = groups.iter().filter(|g| g.tool == name && g.files > 0);
        let most = named.clone().map(|g| g.files).max()?;
        named.filter(|g| g.files == most).min_by_key(|g| g.bytes)
    }

    fn size_table(&self, set: &str, groups: &[Group<'a>]) -> Table {
        let (unit, speed) = (self.unit_label(), self.speed_unit());
        let anchor = self.anchor_group(groups);
        let against = match anchor {
            Some(anchor) => format!("vs {} {}", anchor.tool, anchor.setting),
            None => "vs anchor".into(),
        };
        let mut table = Table::new(
            set,
            &[
                "tool",
                "files",
                "bytes",
                unit,
                "vs source",
                &against,
                &format!("encode {speed}"),
                &format!("decode {speed}"),
                &format!("encode {speed}, all threads"),
                &format!("decode {speed}, all threads"),
                "encode MB",
                "decode MB",
            ],
        );
        for group in groups {
            let source = (group.source_bytes > 0)
                .then(|| 100.0 * (group.bytes as f64 / group.source_bytes as f64 - 1.0));
            let mut cells = vec![
                Cell::words(format!("{} {}", group.tool, group.setting).trim()),
                Cell {
                    text: files(group),
                    value: Some(group.files as f64),
                },
                Cell::whole(group.bytes),
                Cell::number(self.bits_per_unit(group).filter(|_| group.files > 0), 3),
                Cell::percent(source),
                Cell::percent(anchor.and_then(|a| group.percent_above(a))),
            ];
            cells.extend(speeds(group));
            table.push(is_ours(group), cells);
        }
        table.without_empty_columns()
    }

    /// BD-rates by metric; none without an anchor.
    fn bd_table(&self, set: &str, groups: &[Group<'a>]) -> Option<Table> {
        let curves = by_curve(groups);
        let name = self.anchor.as_deref()?;
        let (_, anchor) = curves
            .iter()
            .find(|(curve, list)| *curve == name || list[0].tool == name)?;
        let metrics: Vec<_> = METRICS
            .iter()
            .filter(|m| {
                let mut points = groups.iter().flat_map(|g| g.points.values());
                points.any(|(_, values)| values.contains_key(m.name))
            })
            .collect();
        let mut headings = vec!["tool", "files"];
        headings.extend(metrics.iter().map(|m| m.label));
        let mut table = Table::new(format!("BD-rate against {name}: {set}"), &headings);
        for (curve, list) in &curves {
            let files = list.iter().map(|g| g.files).min().unwrap_or(0);
            let mut cells = vec![Cell::words(*curve), Cell::whole(files as u64)];
            for metric in &metrics {
                let rates = bd_rates(anchor, list, metric);
                let text = rates.map_or_else(String::new, |r| match r.median_of_files {
                    Some(median) => format!("{:+.1}% ({median:+.1}%)", r.of_means),
                    None => format!("{:+.1}%", r.of_means),
                });
                cells.push(Cell {
                    text,
                    value: rates.map(|r| r.of_means),
                });
            }
            table.push(is_ours(list[0]), cells);
        }
        Some(table)
    }

    /// The curves' points, of all files.
    fn points_table(&self) -> Table {
        let groups = self.total();
        let metrics: Vec<_> = METRICS
            .iter()
            .filter(|m| {
                let mut points = groups.iter().flat_map(|g| g.points.values());
                points.any(|(_, values)| values.contains_key(m.name))
            })
            .collect();
        let speed = self.speed_unit();
        let mut headings = vec!["tool".to_string(), "files".into(), self.unit_label().into()];
        headings.extend(metrics.iter().map(|m| m.label.to_string()));
        headings.extend([
            format!("encode {speed}"),
            format!("decode {speed}"),
            format!("encode {speed}, all threads"),
            format!("decode {speed}, all threads"),
            "encode MB".into(),
            "decode MB".into(),
        ]);
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mut table = Table::new("All settings, means over all files", &headings);
        for group in groups {
            let count = group.points.len() as f64;
            let mean_rate = group.points.values().map(|p| p.0).sum::<f64>() / count;
            let mut cells = vec![
                Cell::words(format!("{} {}", group.tool, group.setting)),
                Cell {
                    text: files(group),
                    value: Some(group.files as f64),
                },
                Cell::number(Some(mean_rate).filter(|r| r.is_finite()), 3),
            ];
            for metric in &metrics {
                let values = group.points.values().filter_map(|p| p.1.get(metric.name));
                let (sum, n) = values.fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
                let digits = if metric.larger_is_better { 2 } else { 4 };
                cells.push(Cell::number((n > 0.0).then(|| sum / n), digits));
            }
            cells.extend(speeds(group));
            table.push(is_ours(group), cells);
        }
        table.without_empty_columns()
    }
}

fn is_ours(group: &Group<'_>) -> bool {
    rcodec::codec_named(group.tool).is_some()
}

fn files(group: &Group<'_>) -> String {
    match group.failed {
        0 => group.files.to_string(),
        failed => format!("{} ({failed} failed)", group.files),
    }
}

fn speeds(group: &Group<'_>) -> Vec<Cell> {
    let speed = |value: Option<f64>| {
        let digits = value.map_or(0, |v| if v < 10.0 { 2 } else { usize::from(v < 100.0) });
        Cell::number(value, digits)
    };
    let megabytes = |a: u64, b: u64| {
        let peak = a.max(b);
        Cell::number((peak > 0).then(|| peak as f64 / 1e6), 0)
    };
    vec![
        speed(group.one.encode.cpu_speed()),
        speed(group.one.decode.cpu_speed()),
        speed(group.all.encode.wall_speed()),
        speed(group.all.decode.wall_speed()),
        megabytes(group.one.encode.peak_bytes, group.all.encode.peak_bytes),
        megabytes(group.one.decode.peak_bytes, group.all.decode.peak_bytes),
    ]
}

/// One row per file, tool, setting and threading.
pub(crate) fn every(singles: &[Single<'_>]) -> Table {
    let mut table = Table::new(
        format!(
            "{} of {} rows; results.csv has all",
            singles.len().min(MOST_ROWS),
            singles.len()
        ),
        &[
            "file",
            "tool",
            "threads",
            "bytes",
            "rate",
            "encode CPU s",
            "encode s",
            "decode CPU s",
            "decode s",
            "outcome",
        ],
    );
    for single in singles.iter().take(MOST_ROWS) {
        let record = single.record;
        let outcome = match &record.outcome {
            Outcome::Ok if single.ok => "ok",
            Outcome::Ok => "failed once",
            Outcome::Mismatch => "not lossless",
            Outcome::Failed(_) => "failed",
        };
        let of = |usage: Option<crate::bench::child::Usage>| {
            [
                Cell::number(usage.map(|u| u.cpu_seconds), 3),
                Cell::number(usage.map(|u| u.wall_seconds), 3),
            ]
        };
        let mut cells = vec![
            Cell::words(&record.file),
            Cell::words(format!("{} {}", record.tool, record.setting)),
            Cell::words(&record.threads),
            Cell::whole(record.bytes),
            Cell::number(Some(rate(record)), 3),
        ];
        cells.extend(of(single.encode));
        cells.extend(of(single.decode));
        cells.push(Cell::words(outcome));
        table.push(rcodec::codec_named(&record.tool).is_some(), cells);
    }
    table
}
