//! The report: tables and charts of all measurements, as CSV, JSON, Markdown,
//! SVG, PNG and one HTML file.

mod chart;
mod csv;
mod curves;
mod groups;
pub(crate) mod html;
mod raster;
mod table;
mod tables;

use crate::args::BenchArgs;
use crate::bench::corpus::Corpus;
use crate::bench::machine;
use crate::bench::quality::METRICS;
use crate::bench::record::{Outcome, Record};
use crate::bench::tool::Tool;
use chart::{Chart, Series};
use groups::{Group, Single};
use html::Page;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::Path;
use table::Table;
use tables::Section;

/// Everything a report says.
pub(crate) struct Summary<'a> {
    args: &'a BenchArgs,
    records: &'a [Record],
    corpus: &'a Corpus,
    missing: Vec<String>,
    machine: Value,
    shown: Vec<String>,
}

/// A chart with the name of its files.
struct Drawing {
    name: String,
    svg: String,
}

impl<'a> Summary<'a> {
    pub(crate) fn new(
        args: &'a BenchArgs,
        records: &'a [Record],
        corpus: &'a Corpus,
        tools: &[Tool],
        missing: Vec<String>,
        shown: Vec<String>,
    ) -> Self {
        Summary {
            args,
            records,
            corpus,
            missing,
            machine: machine::describe(tools),
            shown,
        }
    }

    /// Writes all forms of the report into a folder.
    pub(crate) fn write(&self, out: &Path) -> io::Result<()> {
        let singles = groups::singles(self.records);
        fs::write(out.join("results.csv"), csv::csv(&singles))?;
        let mut page = Page::new();
        let mut markdown = String::from("# rcodec bench\n\n");
        let mut json_tables = Vec::new();
        self.write_head(&mut page, &mut markdown);
        for (media, title) in [
            ("image", "Pictures"),
            ("audio", "Sound"),
            ("bytes", "Text and other bytes"),
        ] {
            for lossy in [false, true] {
                let part: Vec<&Single<'_>> = singles
                    .iter()
                    .filter(|s| s.record.media == media && s.record.lossy == lossy)
                    .collect();
                if part.is_empty() {
                    continue;
                }
                let kind = if lossy { "lossy" } else { "lossless" };
                let heading = format!("{title}, {kind}");
                page.heading(2, &heading);
                markdown += &format!("## {heading}\n\n");
                let section = Section::new(media, lossy, self.args.anchor.as_deref(), &part);
                let tables = section.tables();
                let drawings = self.draw(out, media, kind, &section)?;
                page.note(&section.note());
                markdown += &format!("{}\n\n", section.note());
                let svgs: Vec<String> = drawings.iter().map(|d| d.svg.clone()).collect();
                page.charts(&svgs);
                for drawing in &drawings {
                    markdown += &format!("![{0}]({0}.svg)\n", drawing.name);
                }
                markdown += "\n";
                for table in &tables {
                    page.table(table);
                    markdown += &table.markdown();
                    json_tables.push(table_json(&heading, table));
                }
                if media == "image" && lossy {
                    self.show_crops(out, &mut page, &part);
                }
            }
        }
        self.write_troubles(&mut page, &mut markdown);
        page.heading(2, "Every measurement");
        page.table(&tables::every(&singles));
        fs::write(out.join("report.html"), page.finish())?;
        fs::write(out.join("report.md"), markdown)?;
        let report = json!({
            "machine": self.machine,
            "command": command_line(),
            "missing": self.missing,
            "left_out": self.corpus.left_out,
            "tables": json_tables,
        });
        fs::write(
            out.join("report.json"),
            serde_json::to_string_pretty(&report)?,
        )
    }

    fn write_head(&self, page: &mut Page, markdown: &mut String) {
        let text = |key: &str| match &self.machine[key] {
            Value::Null => "unknown".to_string(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let memory = self.machine["memory_bytes"].as_u64().unwrap_or(0) >> 20;
        let versions = match self.machine["versions"].as_object() {
            Some(map) => map
                .iter()
                .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("")))
                .collect::<Vec<_>>()
                .join(", "),
            None => String::new(),
        };
        let facts = [
            ("Command", command_line()),
            ("Date", text("date")),
            (
                "Machine",
                format!("{}, {} cores, {memory} MiB", text("cpu"), text("cores")),
            ),
            ("System", text("system")),
            (
                "rcodec",
                format!("{}, commit {}", text("rcodec"), text("commit")),
            ),
            ("Tools", versions),
            (
                "Files",
                format!(
                    "{} measured, {} left out",
                    self.corpus.items.len(),
                    self.corpus.left_out.len()
                ),
            ),
            (
                "Repetitions",
                format!("{}, {} at a time", self.args.repeat, self.args.jobs),
            ),
            ("Time", self.time_measured()),
        ];
        page.heading(1, "rcodec bench");
        page.facts(&facts);
        for (name, value) in &facts {
            *markdown += &format!("- {name}: {value}\n");
        }
        if !self.missing.is_empty() {
            let line = format!(
                "Not installed, so not measured: {}",
                self.missing.join(", ")
            );
            page.note(&line);
            *markdown += &format!("\n{line}\n");
        }
        *markdown += "\n";
    }

    /// What was measured, of an interrupted run's calls together.
    fn time_measured(&self) -> String {
        let usages = self.records.iter().flat_map(|r| [&r.encode, &r.decode]);
        let seconds: f64 = usages.flatten().map(|usage| usage.wall_seconds).sum();
        let minutes = (seconds / 60.0).ceil() as u64;
        format!(
            "{} measurements; {} h {} min of the programs' own",
            self.records.len(),
            minutes / 60,
            minutes % 60
        )
    }

    fn write_troubles(&self, page: &mut Page, markdown: &mut String) {
        let mut lines: Vec<String> = Vec::new();
        for record in self.records {
            let what = match &record.outcome {
                Outcome::Ok => continue,
                Outcome::Mismatch => "NOT LOSSLESS: other samples came back",
                Outcome::Failed(why) => why,
            };
            lines.push(format!(
                "{}: {} {}: {what}",
                record.file, record.tool, record.setting
            ));
        }
        if !lines.is_empty() {
            page.heading(2, "What went wrong");
            page.list(&lines);
            *markdown += "## What went wrong\n\n";
            lines
                .iter()
                .for_each(|line| *markdown += &format!("- {line}\n"));
            *markdown += "\n";
        }
        let left_out = self.corpus.left_out.iter();
        let lines: Vec<String> = left_out
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        if !lines.is_empty() {
            page.heading(2, "Files left out");
            page.list(&lines);
            *markdown += "## Files left out\n\n";
            lines
                .iter()
                .for_each(|line| *markdown += &format!("- {line}\n"));
            *markdown += "\n";
        }
    }

    /// Writes a section's charts as SVG and PNG.
    fn draw(
        &self,
        out: &Path,
        media: &str,
        kind: &str,
        section: &Section<'_>,
    ) -> io::Result<Vec<Drawing>> {
        let mut drawings = Vec::new();
        for (name, chart) in charts(section) {
            let Some(strokes) = chart.strokes() else {
                continue;
            };
            let name = format!("{media}-{kind}-{name}");
            let svg = chart::svg(&strokes);
            fs::write(out.join(format!("{name}.svg")), &svg)?;
            raster::write_png(&strokes, &out.join(format!("{name}.png")))?;
            drawings.push(Drawing { name, svg });
        }
        Ok(drawings)
    }

    /// Cuts of a few pictures, each tool at about the same rate.
    fn show_crops(&self, out: &Path, page: &mut Page, singles: &[&Single<'_>]) {
        let folder = out.join("crops");
        for hash in &self.shown {
            let of_file: Vec<&Record> = singles
                .iter()
                .map(|s| s.record)
                .filter(|r| r.crop.is_some() && r.key.starts_with(hash.as_str()))
                .collect();
            for target in [0.25, 0.75] {
                let chosen = nearest_by_curve(&of_file, target);
                let Some(first) = chosen.first() else {
                    continue;
                };
                page.heading(
                    3,
                    &format!("{} at about {target} bits per pixel", first.file),
                );
                let mut crops = vec![(
                    folder.join(format!("{hash}-original.png")),
                    "original".to_string(),
                    String::new(),
                )];
                for record in chosen {
                    crops.push((
                        folder.join(record.crop.as_deref().unwrap_or("")),
                        record.curve.clone(),
                        caption(record),
                    ));
                }
                page.crops(&crops);
            }
        }
    }
}

/// The record of each curve whose rate is nearest to the target, where one is
/// near at all.
fn nearest_by_curve<'r>(records: &[&'r Record], target: f64) -> Vec<&'r Record> {
    let mut chosen: Vec<&Record> = Vec::new();
    let distance = |record: &Record| (groups::rate(record) / target).ln().abs();
    for &record in records {
        match chosen.iter_mut().find(|r| r.curve == record.curve) {
            Some(best) if distance(record) < distance(best) => *best = record,
            Some(_) => {}
            None => chosen.push(record),
        }
    }
    chosen.retain(|record| distance(record) < 0.5);
    chosen
}

fn caption(record: &Record) -> String {
    let mut text = format!("{}: {:.3} bpp", record.setting, groups::rate(record));
    for (name, label) in [
        ("psnr_rgb", "dB PSNR"),
        ("ssimulacra2", "SSIMULACRA2"),
        ("butteraugli_3norm", "Butteraugli"),
    ] {
        if let Some(value) = record.metrics.get(name) {
            text += &format!(", {value:.2} {label}");
        }
    }
    text
}

fn charts(section: &Section<'_>) -> Vec<(String, Chart)> {
    let groups = section.total();
    if section.lossy {
        let has = |name: &str| {
            let mut points = groups.iter().flat_map(|g| g.points.values());
            points.any(|(_, metrics)| metrics.contains_key(name))
        };
        return METRICS
            .iter()
            .filter(|metric| has(metric.name))
            .map(|metric| {
                let series = curves_of(groups, |groups| curves::mean_curve(groups, metric));
                let chart = Chart {
                    title: "mean over the files".into(),
                    x_label: section.rate_label().into(),
                    y_label: metric.label.into(),
                    series,
                };
                (metric.name.to_string(), chart)
            })
            .collect();
    }
    let speed_chart = |which: &str, speed: fn(&Group<'_>) -> Option<f64>| {
        let series = curves_of(groups, |groups| {
            let points = groups.iter().filter_map(|group| {
                // Only what covers the same files can be compared.
                let complete = group.files == section.files();
                let size = section.bits_per_unit(group)?;
                Some((speed(group)?, size)).filter(|_| complete)
            });
            points.collect()
        });
        let chart = Chart {
            title: format!("size against speed of {which}, one thread"),
            x_label: format!("{}, CPU time", section.speed_unit()),
            y_label: section.unit_label().into(),
            series,
        };
        (which.to_string(), chart)
    };
    vec![
        speed_chart("encoding", |g| g.one.encode.cpu_speed()),
        speed_chart("decoding", |g| g.one.decode.cpu_speed()),
    ]
}

/// One series per curve, made by `points` of its groups.
fn curves_of(
    groups: &[Group<'_>],
    points: impl Fn(&[&Group<'_>]) -> Vec<(f64, f64)>,
) -> Vec<Series> {
    tables::by_curve(groups)
        .into_iter()
        .map(|(label, groups)| Series {
            label: label.to_string(),
            ours: rcodec::codec_named(groups[0].tool).is_some(),
            points: points(&groups),
        })
        .collect()
}

fn table_json(section: &str, table: &Table) -> Value {
    let rows: Vec<Value> = table
        .rows
        .iter()
        .map(|row| {
            let cells = row.cells.iter().map(|cell| match cell.value {
                Some(value) => json!(value),
                None => json!(cell.text),
            });
            Value::Array(cells.collect())
        })
        .collect();
    json!({
        "section": section,
        "title": table.title,
        "headings": table.headings,
        "rows": rows,
    })
}

/// How this report can be made again.
fn command_line() -> String {
    let mut words = std::env::args();
    words.next();
    let quoted = words.map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=".contains(c);
        if word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    format!("rcodec {}", quoted.collect::<Vec<_>>().join(" "))
}
