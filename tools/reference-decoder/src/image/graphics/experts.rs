//! The experts of a field [5.7].

use super::super::common::{K, Ols, quarter, tail};
use super::escape::Place;

/// What the experts of a field say [5.7].
#[derive(Clone, Debug)]
pub(super) struct Said {
    features: Vec<i32>,
    mu: [i32; 4],
    inv: [i64; 4],
    pub(super) scale: usize,
    class: usize,
}

impl Said {
    pub(super) fn centre(&self) -> i32 {
        (self.mu[0] + 32) >> 6
    }

    pub(super) fn tails(&self, v: i32) -> [i32; 4] {
        std::array::from_fn(|e| {
            let distance = (i64::from(v) << 6) - 32 - i64::from(self.mu[e]);
            tail((distance * self.inv[e]) >> 24)
        })
    }
}

/// The experts of a field [5.7].
pub(super) struct Experts {
    bits: u32,
    long: Ols,
    short: Ols,
    /// Means of errors with counts, of each expert.
    means: [Vec<(i32, i32)>; 4],
}

impl Experts {
    pub(super) fn new(bits: u32) -> Self {
        let mean = |i: u32| (4096 + (64 << (i / 4)).min(1 << 20), 0);
        let means: Vec<(i32, i32)> = (0..64).map(mean).collect();
        Self {
            bits,
            long: Ols::new(24, 0.98, 2, bits),
            short: Ols::new(12, 0.74, 2, bits),
            means: std::array::from_fn(|_| means.clone()),
        }
    }

    pub(super) fn predict(&self, place: &Place<'_>) -> Said {
        let features = place.features();
        let o = place.near.map(|s| place.v(s));
        let most = ((1 << self.bits) - 1) << 6;
        let grad = place.grad();
        let x = if place.c == 0 {
            (3 * grad + ((o[0] + o[3]) >> 1) + 2) >> 2
        } else {
            let moved = |i: usize| o[i] + place.u(place.coded) - place.u(place.near[i]);
            (moved(0) + moved(1)) >> 1
        };
        let around = |prediction: i32| ((o[0] << 6) + prediction).clamp(0, most);
        let mu = [
            around(self.long.predict(&features)),
            around(self.short.predict(&features)),
            grad << 6,
            (x << 6).clamp(0, most),
        ];
        let activity = (o[0] - o[2]).abs()
            + (o[1] - o[2]).abs()
            + (o[1] - o[3]).abs()
            + (o[0] - o[4]).abs()
            + 4 * place.error.abs()
            + (mu[0] - mu[3]).abs() / 32;
        let class = quarter(2 * activity as u32 + 2).min(63) as usize;
        let mean = |e: usize| self.means[e][class].0;
        Said {
            features,
            mu,
            inv: std::array::from_fn(|e| K / i64::from(mean(e).max(64))),
            scale: (quarter(mean(0) as u32 >> 6) / 2).min(31) as usize,
            class,
        }
    }

    pub(super) fn learn(&mut self, place: &Place<'_>, said: &Said, value: i32) {
        for (means, mu) in self.means.iter_mut().zip(said.mu) {
            let (mean, n) = &mut means[said.class];
            if *n < 250 {
                *n += 1;
            }
            *mean += ((((value << 6) - mu).abs() << 6) - *mean) / (*n + 4);
        }
        let target = value - place.v(place.near[0]);
        self.long.learn(&said.features, target);
        self.short.learn(&said.features, target);
    }
}
