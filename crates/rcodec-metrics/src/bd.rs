//! Bjøntegaard's deltas: the mean distance between two rate–distortion curves,
//! along the rate (at equal quality) or along the quality (at equal rate).
//!
//! Bjøntegaard, «Calculation of average PSNR differences between RD-curves»,
//! VCEG-M33, 2001. Rates are compared on a logarithmic scale, over the range
//! that both curves cover. Between the points a curve is either one cubic
//! through all of them (least squares where they are more than four), as in
//! the paper, or a monotone piecewise cubic (PCHIP), as in the template of the
//! JVET common test conditions, which does not swing between distant points.

/// A point of a rate–distortion curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RdPoint {
    /// Bits per anything, above 0.
    pub rate: f64,
    /// Larger is better.
    pub quality: f64,
}

/// How a curve goes from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// One polynomial of degree 3, fitted by least squares.
    Cubic,
    /// Piecewise cubic, monotone (Fritsch and Butland's slopes, as SciPy's
    /// `PchipInterpolator`).
    Pchip,
}

/// By how many percent more rate `test` needs than `anchor` for the same
/// quality, on average; negative is better.
///
/// None where the curves share no range of quality, have too few points (four,
/// or two for PCHIP), a rate that is not above 0, or two points of the same
/// quality. Points may come in any order.
pub fn bd_rate_percent(
    anchor: &[RdPoint],
    test: &[RdPoint],
    interpolation: Interpolation,
) -> Option<f64> {
    let by_quality = |points: &[RdPoint]| {
        let points = points.iter().map(|p| (p.quality, p.rate.ln()));
        Curve::through(points.collect(), interpolation)
    };
    let delta = mean_difference(&by_quality(anchor)?, &by_quality(test)?)?;
    Some((delta.exp() - 1.0) * 100.0)
}

/// By how much the quality of `test` is above that of `anchor` at the same
/// rate, on average, in the unit of the quality; positive is better.
///
/// None as for [`bd_rate_percent`], with rate and quality exchanged.
pub fn bd_quality(
    anchor: &[RdPoint],
    test: &[RdPoint],
    interpolation: Interpolation,
) -> Option<f64> {
    let by_rate = |points: &[RdPoint]| {
        let points = points.iter().map(|p| (p.rate.ln(), p.quality));
        Curve::through(points.collect(), interpolation)
    };
    mean_difference(&by_rate(anchor)?, &by_rate(test)?)
}

fn mean_difference(anchor: &Curve, test: &Curve) -> Option<f64> {
    let from = anchor.first().max(test.first());
    let to = anchor.last().min(test.last());
    // Also false if one is not a number.
    if from < to {
        Some((test.integral(from, to) - anchor.integral(from, to)) / (to - from))
    } else {
        None
    }
}

/// A piecewise cubic: on `knots[i]..knots[i + 1]`, a polynomial of
/// `x - origins[i]`, lowest power first.
struct Curve {
    knots: Vec<f64>,
    origins: Vec<f64>,
    cubics: Vec<[f64; 4]>,
}

impl Curve {
    fn through(mut points: Vec<(f64, f64)>, interpolation: Interpolation) -> Option<Curve> {
        if points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
            return None;
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        match interpolation {
            Interpolation::Cubic if points.len() >= 4 => Some(Self::cubic(&points)),
            Interpolation::Pchip if points.len() >= 2 => Some(Self::pchip(&points)),
            _ => None,
        }
    }

    fn first(&self) -> f64 {
        self.knots[0]
    }

    fn last(&self) -> f64 {
        self.knots[self.knots.len() - 1]
    }

    /// A least-squares cubic, through normal equations of centred abscissae
    /// scaled to -1..1, in which they are well conditioned.
    fn cubic(points: &[(f64, f64)]) -> Curve {
        let (first, last) = (points[0].0, points[points.len() - 1].0);
        let (centre, scale) = ((first + last) / 2.0, (last - first) / 2.0);
        let mut rows = [[0.0; 5]; 4];
        for &(x, y) in points {
            let t = (x - centre) / scale;
            let powers = [1.0, t, t * t, t * t * t];
            for (row, &power) in rows.iter_mut().zip(&powers) {
                for (sum, &other) in row.iter_mut().zip(&powers) {
                    *sum += power * other;
                }
                row[4] += power * y;
            }
        }
        let mut cubic = solve(rows);
        for (power, coefficient) in cubic.iter_mut().enumerate() {
            *coefficient /= scale.powi(power as i32);
        }
        Curve {
            knots: vec![first, last],
            origins: vec![centre],
            cubics: vec![cubic],
        }
    }

    fn pchip(points: &[(f64, f64)]) -> Curve {
        let steps: Vec<f64> = points.windows(2).map(|p| p[1].0 - p[0].0).collect();
        let secants: Vec<f64> = points
            .windows(2)
            .zip(&steps)
            .map(|(p, h)| (p[1].1 - p[0].1) / h)
            .collect();
        let slopes = pchip_slopes(&steps, &secants);
        let cubics = (0..steps.len())
            .map(|i| {
                let (h, secant) = (steps[i], secants[i]);
                let second = (3.0 * secant - 2.0 * slopes[i] - slopes[i + 1]) / h;
                let third = (slopes[i] + slopes[i + 1] - 2.0 * secant) / (h * h);
                [points[i].1, slopes[i], second, third]
            })
            .collect();
        let knots: Vec<f64> = points.iter().map(|p| p.0).collect();
        Curve {
            origins: knots.clone(),
            knots,
            cubics,
        }
    }

    /// The exact integral between two places within the curve.
    fn integral(&self, from: f64, to: f64) -> f64 {
        let pieces = self.knots.windows(2).zip(&self.origins).zip(&self.cubics);
        pieces
            .map(|((ends, origin), cubic)| {
                let (a, b) = (from.max(ends[0]), to.min(ends[1]));
                if a < b {
                    primitive(cubic, b - origin) - primitive(cubic, a - origin)
                } else {
                    0.0
                }
            })
            .sum()
    }
}

fn primitive(cubic: &[f64; 4], x: f64) -> f64 {
    x * (cubic[0] + x * (cubic[1] / 2.0 + x * (cubic[2] / 3.0 + x * cubic[3] / 4.0)))
}

/// The slopes at the points: weighted harmonic means of the secants on both
/// sides, none where the curve turns, three-point formulas at the ends.
fn pchip_slopes(steps: &[f64], secants: &[f64]) -> Vec<f64> {
    let count = steps.len() + 1;
    if count == 2 {
        return vec![secants[0]; 2];
    }
    let mut slopes = vec![0.0; count];
    for i in 1..count - 1 {
        let (before, after) = (secants[i - 1], secants[i]);
        if before * after > 0.0 {
            let w1 = 2.0 * steps[i] + steps[i - 1];
            let w2 = steps[i] + 2.0 * steps[i - 1];
            slopes[i] = (w1 + w2) / (w1 / before + w2 / after);
        }
    }
    let last = steps.len() - 1;
    slopes[0] = end_slope(steps[0], steps[1], secants[0], secants[1]);
    slopes[count - 1] = end_slope(
        steps[last],
        steps[last - 1],
        secants[last],
        secants[last - 1],
    );
    slopes
}

fn end_slope(near: f64, far: f64, near_secant: f64, far_secant: f64) -> f64 {
    let slope = ((2.0 * near + far) * near_secant - near * far_secant) / (near + far);
    if slope * near_secant <= 0.0 {
        0.0
    } else if near_secant * far_secant <= 0.0 && slope.abs() > 3.0 * near_secant.abs() {
        3.0 * near_secant
    } else {
        slope
    }
}

/// Gaussian elimination with pivots; the last column is the right side.
fn solve(mut rows: [[f64; 5]; 4]) -> [f64; 4] {
    for i in 0..4 {
        let pivot = (i..4)
            .max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs()))
            .unwrap_or(i);
        rows.swap(i, pivot);
        let leading = rows[i];
        for row in &mut rows[i + 1..] {
            let factor = row[i] / leading[i];
            for (value, above) in row.iter_mut().zip(&leading) {
                *value -= factor * above;
            }
        }
    }
    let mut out = [0.0; 4];
    for i in (0..4).rev() {
        let known: f64 = (i + 1..4).map(|j| rows[i][j] * out[j]).sum();
        out[i] = (rows[i][4] - known) / rows[i][i];
    }
    out
}

#[cfg(test)]
#[path = "bd_tests.rs"]
mod tests;
