//! Rate–distortion curves and their distances.

use super::groups::Group;
use crate::bench::quality::Metric;
use rcodec_metrics::{Interpolation, RdPoint, bd_rate_percent};
use std::collections::BTreeSet;

/// The mean curve of a tool: at each setting, the mean rate and the mean metric
/// over the files that all of its settings have.
pub(crate) fn mean_curve(groups: &[&Group<'_>], metric: &Metric) -> Vec<(f64, f64)> {
    let files = common_files(groups, metric);
    let count = files.len() as f64;
    if files.is_empty() {
        return Vec::new();
    }
    let mut points: Vec<(f64, f64)> = groups
        .iter()
        .map(|group| {
            let (mut rate, mut value) = (0.0, 0.0);
            for file in &files {
                let (r, metrics) = group.points[file];
                rate += r;
                value += metrics[metric.name];
            }
            (rate / count, value / count)
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn common_files<'a>(groups: &[&Group<'a>], metric: &Metric) -> BTreeSet<&'a str> {
    let has = |group: &Group<'a>| -> BTreeSet<&'a str> {
        let points = group.points.iter();
        points
            .filter(|(_, (_, metrics))| metrics.contains_key(metric.name))
            .map(|(file, _)| *file)
            .collect()
    };
    let mut sets = groups.iter().map(|group| has(group));
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, set| &common & &set)
}

/// BD-rates of a tool against the anchor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BdRates {
    /// Of the mean curves, in percent.
    pub(crate) of_means: f64,
    /// The median over the files, in percent.
    pub(crate) median_of_files: Option<f64>,
}

/// None where the curves share no range of quality.
pub(crate) fn bd_rates(
    anchor: &[&Group<'_>],
    test: &[&Group<'_>],
    metric: &Metric,
) -> Option<BdRates> {
    let of_means = bd(
        &mean_curve(anchor, metric),
        &mean_curve(test, metric),
        metric,
    )?;
    let both = &common_files(anchor, metric) & &common_files(test, metric);
    let mut by_file: Vec<f64> = both
        .iter()
        .filter_map(|file| {
            bd(
                &file_curve(anchor, file, metric),
                &file_curve(test, file, metric),
                metric,
            )
        })
        .collect();
    by_file.sort_by(f64::total_cmp);
    Some(BdRates {
        of_means,
        median_of_files: median(&by_file),
    })
}

/// Of values in order.
fn median(values: &[f64]) -> Option<f64> {
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn file_curve(groups: &[&Group<'_>], file: &str, metric: &Metric) -> Vec<(f64, f64)> {
    groups
        .iter()
        .filter_map(|group| group.points.get(file))
        .filter_map(|(rate, metrics)| Some((*rate, *metrics.get(metric.name)?)))
        .collect()
}

fn bd(anchor: &[(f64, f64)], test: &[(f64, f64)], metric: &Metric) -> Option<f64> {
    let sign = if metric.larger_is_better { 1.0 } else { -1.0 };
    let points = |curve: &[(f64, f64)]| -> Vec<RdPoint> {
        curve
            .iter()
            .map(|&(rate, value)| RdPoint {
                rate,
                quality: sign * value,
            })
            .collect()
    };
    bd_rate_percent(&points(anchor), &points(test), Interpolation::Pchip)
}
