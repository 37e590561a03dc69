//! Charts as lists of strokes, which are written as SVG or drawn as PNG.

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) label: String,
    /// Drawn thicker.
    pub(crate) ours: bool,
    /// In the order they are joined. A line without points keeps its colour
    /// from others, and is not drawn.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart of several lines over a logarithmic abscissa.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) series: Vec<Series>,
}

/// A colour, red, green, blue.
pub(crate) type Color = [u8; 3];

/// Where a text stands to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Start,
    Middle,
    End,
}

/// What is drawn, in pixels from the left top.
#[derive(Debug, Clone)]
pub(crate) enum Stroke {
    Line {
        from: (f64, f64),
        to: (f64, f64),
        width: f64,
        color: Color,
    },
    Dot {
        at: (f64, f64),
        radius: f64,
        color: Color,
    },
    Text {
        /// On the base line.
        at: (f64, f64),
        align: Align,
        color: Color,
        text: String,
    },
}

pub(crate) const WIDTH: f64 = 680.0;
pub(crate) const HEIGHT: f64 = 420.0;
/// The frame: left, top, right, bottom. The legend stands right of it.
const FRAME: (f64, f64, f64, f64) = (58.0, 44.0, 510.0, 372.0);
const INK: Color = [40, 40, 40];
const GRID: Color = [222, 222, 222];

/// Colours that can be told apart by most eyes (Okabe and Ito 2008), then
/// darker ones.
const COLORS: [Color; 12] = [
    [213, 94, 0],
    [0, 114, 178],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [90, 90, 90],
    [140, 60, 0],
    [0, 70, 110],
    [0, 95, 70],
    [120, 60, 100],
    [160, 110, 0],
];

impl Chart {
    /// The strokes; none if there is nothing to show.
    pub(crate) fn strokes(&self) -> Option<Vec<Stroke>> {
        let points = || {
            let all = self.series.iter().flat_map(|s| &s.points);
            all.filter(|(x, y)| *x > 0.0 && y.is_finite())
        };
        let (x_min, x_max) = range(points().map(|p| p.0.log10()))?;
        let (y_min, y_max) = range(points().map(|p| p.1))?;
        let (x_min, x_max) = widened(x_min, x_max, 0.05, 0.15);
        let (y_min, y_max) = widened(y_min, y_max, 0.06, 0.05);
        let (left, top, right, bottom) = FRAME;
        let x = |v: f64| left + (v.log10() - x_min) / (x_max - x_min) * (right - left);
        let y = |v: f64| bottom - (v - y_min) / (y_max - y_min) * (bottom - top);
        let mut out = Vec::new();
        for (value, label) in log_ticks(x_min, x_max) {
            rule(&mut out, (x(value), top), (x(value), bottom));
            text(&mut out, (x(value), bottom + 18.0), Align::Middle, label);
        }
        for value in ticks(y_min, y_max) {
            rule(&mut out, (left, y(value)), (right, y(value)));
            text(
                &mut out,
                (left - 6.0, y(value) + 4.0),
                Align::End,
                short(value),
            );
        }
        text(&mut out, (left, 18.0), Align::Start, self.title.clone());
        text(&mut out, (left, 36.0), Align::Start, self.y_label.clone());
        text(
            &mut out,
            (right, bottom + 38.0),
            Align::End,
            self.x_label.clone(),
        );
        let mut drawn = 0;
        for (i, series) in self.series.iter().enumerate() {
            let color = COLORS[i % COLORS.len()];
            let width = if series.ours { 3.2 } else { 1.6 };
            let places: Vec<(f64, f64)> = series
                .points
                .iter()
                .filter(|(px, py)| *px > 0.0 && py.is_finite())
                .map(|&(px, py)| (x(px), y(py)))
                .collect();
            for pair in places.windows(2) {
                out.push(Stroke::Line {
                    from: pair[0],
                    to: pair[1],
                    width,
                    color,
                });
            }
            out.extend(places.iter().map(|&at| Stroke::Dot {
                at,
                radius: width + 1.6,
                color,
            }));
            if !places.is_empty() {
                legend(&mut out, drawn, color, series);
                drawn += 1;
            }
        }
        Some(out)
    }
}

fn legend(out: &mut Vec<Stroke>, index: usize, color: Color, series: &Series) {
    let (x, y) = (FRAME.2 + 18.0, FRAME.1 + 10.0 + 20.0 * index as f64);
    out.push(Stroke::Line {
        from: (x, y - 4.0),
        to: (x + 18.0, y - 4.0),
        width: if series.ours { 4.0 } else { 2.4 },
        color,
    });
    text(out, (x + 24.0, y), Align::Start, series.label.clone());
}

fn rule(out: &mut Vec<Stroke>, from: (f64, f64), to: (f64, f64)) {
    out.push(Stroke::Line {
        from,
        to,
        width: 1.0,
        color: GRID,
    });
}

fn text(out: &mut Vec<Stroke>, at: (f64, f64), align: Align, text: String) {
    out.push(Stroke::Text {
        at,
        align,
        color: INK,
        text,
    });
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
    })
}

/// A range with a margin, and at least some width.
fn widened(low: f64, high: f64, margin: f64, least: f64) -> (f64, f64) {
    let extra = ((high - low) * margin).max(least);
    (low - extra, high + extra)
}

/// About six round values within a range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 6.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|&step| step >= raw)
        .unwrap_or(power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// 1, 2 and 5 times powers of ten within a range of logarithms; only the
/// powers where they are many.
fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let factors: &[f64] = if high - low > 3.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let mut out = Vec::new();
    for exponent in low.floor() as i32..=high.ceil() as i32 {
        for factor in factors {
            let value = factor * 10f64.powi(exponent);
            if (low..=high).contains(&value.log10()) {
                out.push((value, short(value)));
            }
        }
    }
    out
}

/// A number without needless digits.
fn short(value: f64) -> String {
    if value.abs() >= 1e6 || (value != 0.0 && value.abs() < 1e-3) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

/// The chart as SVG.
pub(crate) fn svg(strokes: &[Stroke]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"system-ui,sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let hex = |[r, g, b]: Color| format!("#{r:02x}{g:02x}{b:02x}");
    for stroke in strokes {
        out += &match stroke {
            Stroke::Line {
                from,
                to,
                width,
                color,
            } => format!(
                "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{}\" stroke-width=\"{width}\"/>\n",
                from.0,
                from.1,
                to.0,
                to.1,
                hex(*color)
            ),
            Stroke::Dot { at, radius, color } => format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{}\"/>\n",
                at.0,
                at.1,
                hex(*color)
            ),
            Stroke::Text {
                at,
                align,
                color,
                text,
            } => {
                let anchor = match align {
                    Align::Start => "start",
                    Align::Middle => "middle",
                    Align::End => "end",
                };
                format!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{}\">{}</text>\n",
                    at.0,
                    at.1,
                    hex(*color),
                    super::html::escaped(text)
                )
            }
        };
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 6.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(ticks(27.3, 41.0), [27.5, 30.0, 32.5, 35.0, 37.5, 40.0]);
        let labels: Vec<String> = log_ticks(-1.1, 0.4).into_iter().map(|t| t.1).collect();
        assert_eq!(labels, ["0.1", "0.2", "0.5", "1", "2"]);
    }

    #[test]
    fn empty_and_single_points_are_no_trouble() {
        let mut chart = Chart {
            title: "a < b".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            series: vec![Series {
                label: "none".into(),
                ours: false,
                points: vec![(0.0, 1.0), (1.0, f64::NAN)],
            }],
        };
        assert!(chart.strokes().is_none());
        chart.series[0].points.push((2.0, 3.0));
        let svg = svg(&chart.strokes().unwrap());
        assert!(svg.contains("a &lt; b") && svg.contains("<circle") && !svg.contains("NaN"));
    }
}
