//! Random numbers that depend on nothing but a seed and a position.
//!
//! A training run must give the same steps after a resume, whatever the number
//! of threads. So nothing carries a random state along: what step 1234 needs
//! comes from `Random::at(seed, purpose, 1234)`.

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

/// What numbers are drawn for; two purposes never share a sequence.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Which image, crop and quality.
    Samples = 2,
    /// Noise in place of rounding.
    Noise = 3,
    /// Inputs of checks.
    Checks = 4,
}

impl Random {
    /// The generator of one purpose at one position (a step, a layer).
    pub fn at(seed: u64, purpose: Purpose, position: u64) -> Random {
        let mut random = Random(seed ^ (purpose as u64).wrapping_mul(0xD1B5_4A32_D192_ED03));
        let mixed = random.next_u64() ^ position.wrapping_mul(0x9E6C_63D0_876A_68EE);
        let mut random = Random(mixed);
        random.next_u64();
        random
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1 << 24) as f32
    }

    /// Uniform in `[lo, hi)`.
    pub fn between(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * self.uniform()
    }

    /// Uniform in `0..len`; `len` is at least 1.
    pub fn below(&mut self, len: usize) -> usize {
        ((u128::from(self.next_u64()) * len as u128) >> 64) as usize
    }

    /// Normal, of mean 0 and variance 1 (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_purposes_differ_and_repeat() {
        let draw = |purpose, at| Random::at(7, purpose, at).next_u64();
        assert_eq!(draw(Purpose::Noise, 3), draw(Purpose::Noise, 3));
        assert_ne!(draw(Purpose::Noise, 3), draw(Purpose::Noise, 4));
        assert_ne!(draw(Purpose::Noise, 3), draw(Purpose::Samples, 3));
    }

    #[test]
    fn moments_are_right() {
        let mut random = Random::at(1, Purpose::Checks, 0);
        let n = 20_000;
        let (mut sum, mut squares, mut uniform) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = random.normal();
            sum += x;
            squares += x * x;
            uniform += random.uniform();
        }
        let n = n as f32;
        assert!((sum / n).abs() < 0.03, "{}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.05, "{}", squares / n);
        assert!((uniform / n - 0.5).abs() < 0.01);
        assert!((0..1000).all(|_| random.below(3) < 3));
    }
}
