//! A small fast Fourier transform for the metrics of sound.

/// The transform of `re + i im` in place; their length is a power of two.
/// Iterative, radix 2, decimation in time.
pub(crate) fn fft(re: &mut [f64], im: &mut [f64]) {
    let n = re.len();
    debug_assert!(n.is_power_of_two() && im.len() == n);
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits).min(usize::BITS - 1);
        if n > 1 && j > i {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        let angle = -std::f64::consts::PI / half as f64;
        for k in 0..half {
            let (sin, cos) = (angle * k as f64).sin_cos();
            for i in (k..n).step_by(2 * half) {
                let j = i + half;
                let (r, m) = (re[j] * cos - im[j] * sin, re[j] * sin + im[j] * cos);
                (re[j], im[j]) = (re[i] - r, im[i] - m);
                re[i] += r;
                im[i] += m;
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::fft;

    #[test]
    fn equals_the_definition() {
        for n in [1usize, 2, 8, 64] {
            let re: Vec<f64> = (0..n).map(|i| ((i * i) % 13) as f64).collect();
            let im: Vec<f64> = (0..n).map(|i| ((i * 7) % 5) as f64).collect();
            let (mut fast_re, mut fast_im) = (re.clone(), im.clone());
            fft(&mut fast_re, &mut fast_im);
            for k in 0..n {
                let (mut r, mut m) = (0.0, 0.0);
                for t in 0..n {
                    let turns = (k * t % n) as f64 / n as f64;
                    let (sin, cos) = (-2.0 * std::f64::consts::PI * turns).sin_cos();
                    r += re[t] * cos - im[t] * sin;
                    m += re[t] * sin + im[t] * cos;
                }
                assert!((fast_re[k] - r).abs() < 1e-9 && (fast_im[k] - m).abs() < 1e-9);
            }
        }
    }
}
