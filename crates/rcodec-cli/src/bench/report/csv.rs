//! All measurements as CSV, repetitions joined.

use super::groups::{Single, rate};
use crate::bench::child::Usage;
use crate::bench::quality::METRICS;
use crate::bench::record::Outcome;

/// One line per file, tool, setting and threading, after a line of names.
pub(crate) fn csv(singles: &[Single<'_>]) -> String {
    let mut out = String::from(
        "file,set,media,tool,version,setting,lossy,threads,source_bytes,units,seconds,bytes,rate,\
         encode_cpu_seconds,encode_wall_seconds,encode_peak_bytes,\
         decode_cpu_seconds,decode_wall_seconds,decode_peak_bytes,outcome",
    );
    for metric in METRICS {
        out += &format!(",{}", metric.name);
    }
    out.push('\n');
    for single in singles {
        let record = single.record;
        let outcome = match &record.outcome {
            Outcome::Ok => "ok".to_string(),
            Outcome::Mismatch => "mismatch".into(),
            Outcome::Failed(why) => format!("failed: {why}"),
        };
        let mut fields = vec![
            record.file.clone(),
            record.set.clone(),
            record.media.clone(),
            record.tool.clone(),
            record.version.clone(),
            record.setting.clone(),
            record.lossy.to_string(),
            record.threads.clone(),
            record.source_bytes.to_string(),
            record.units.to_string(),
            record.seconds.map_or_else(String::new, |s| s.to_string()),
            record.bytes.to_string(),
            format!("{:.6}", rate(record)),
        ];
        fields.extend(usage(single.encode));
        fields.extend(usage(single.decode));
        fields.push(outcome);
        for metric in METRICS {
            let value = record.metrics.get(metric.name);
            fields.push(value.map_or_else(String::new, |v| format!("{v:.6}")));
        }
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        out += &fields.join(",");
        out.push('\n');
    }
    out
}

fn usage(usage: Option<Usage>) -> [String; 3] {
    match usage {
        Some(usage) => [
            format!("{:.6}", usage.cpu_seconds),
            format!("{:.6}", usage.wall_seconds),
            usage.peak_bytes.to_string(),
        ],
        None => [const { String::new() }; 3],
    }
}

/// A field as RFC 4180 wants it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::tests::record;
    use crate::bench::report::groups::singles;

    #[test]
    fn lines_have_the_columns_of_the_heading() {
        let mut record = record("a, b", "xz", "-9", 100);
        record.outcome = Outcome::Failed("said \"no\"".into());
        let records = [record];
        let text = csv(&singles(&records));
        let mut lines = text.lines();
        let columns = lines.next().unwrap().split(',').count();
        let line = lines.next().unwrap();
        assert!(line.starts_with("\"a, b\",.,bytes,xz,1.0,-9,false,one,1000,"));
        assert!(line.contains("\"failed: said \"\"no\"\"\""));
        // The file name's own comma is one more.
        assert_eq!(line.split(',').count(), columns + 1);
    }
}
