//! Contexts [6.5] and slots of memories [6.6].

use super::experts::Said;
use super::{Channel, phase};

impl Channel<'_> {
    /// Contexts [6.5] and slots of memories [6.6].
    pub(super) fn contexts(&self, x: usize, y: usize, said: &Said) -> Context {
        let place = self.own.place(x, y);
        let p0 = |dx, dy| self.p(place, 0, dx, dy);
        let p1 = |dx, dy| self.p(place, 1, dx, dy);
        let p2 = |dx, dy| self.p(place, 2, dx, dy);
        let (w, n, nw, ne) = (p0(-1, 0), p0(0, -1), p0(-1, -1), p0(1, -1));
        let (ww, nn, nne) = (p0(-2, 0), p0(0, -2), p0(1, -2));
        let p = said.centre;
        let sc = said.scale.min(63);
        let coarse = (sc / 3).min(15);
        let value = if self.max > 255 {
            (i64::from(p) * 255 / i64::from(self.max)) as usize
        } else {
            p as usize
        };
        let phase = phase(x, y);
        let off = |e: usize| class15((said.mu[e] - (p << 6)) >> 4);
        let near = |v: i32| class15(v - p);
        let (g, g2) = (p1(0, 0), p2(0, 0));
        let through = |v: i32, u: i32| near(v + g - u);
        let through2 = |v: i32, u: i32| near(v + g2 - u);
        let (r1, r2) = (said.r1, said.r2);
        let counters = [
            16 * off(0) + off(1),
            64 * class15(r1) + 16 * phase + coarse,
            16 * near(w) + near(n),
            16 * off(2) + coarse,
            64 * near(w) + 8 * class7(ne - p) + class7(nw - p),
            64 * near(n) + 8 * class7(nne - p) + class7(ne - p),
            16 * near(nn) + near(ww),
            16 * class15(r1) + class15(r2),
            16 * through(w, p1(-1, 0)) + through(n, p1(0, -1)),
            16 * through2(w, p2(-1, 0)) + through2(n, p2(0, -1)),
            16 * through(nw, p1(-1, -1)) + through(ne, p1(1, -1)),
            64 * class15(p1(1, 0) - g) + 8 * class7(p1(0, 1) - g) + class7(g - p1(-1, 0)),
            4 * (g % 256) as usize + phase,
            64 * through(w + n - nw, p1(-1, 0) + p1(0, -1) - p1(-1, -1)) + 16 * phase + coarse,
            16 * through(2 * w - ww, p1(-1, 0)) + near(w),
            64 * class15(p - g) + 4 * class15(r1) + phase,
        ];
        let sets = [
            coarse,
            8 * class7(r1) + class7(w - n),
            16 * phase + coarse,
            value,
        ];
        let keys: [&[i32]; 9] = [
            &[g, g2],
            &[g, g2, w],
            &[g, g2, n],
            &[g, g2, p],
            &[g, w, p1(-1, 0)],
            &[g, n, p1(0, -1)],
            &[g, g2, w, p1(-1, 0), p2(-1, 0)],
            &[g, g2, n, p1(0, -1), p2(0, -1)],
            &[w, n, g],
        ];
        let mut slots = [0; 9];
        let mut memories = [(0, 0); 9];
        for (k, memory) in self.memories.iter().enumerate() {
            let key = keys[k].iter().fold(1_u64, |key, &sample| {
                // The first sample is added to 1, the others to what a product gave.
                key.wrapping_add(sample as u64)
                    .wrapping_mul(0x2F0B_4F61_8F3D_A6E5)
            });
            let hash = (key.wrapping_add(k as u64)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            slots[k] = (hash >> 48) as usize;
            memories[k] = memory[slots[k]];
        }
        Context {
            counters,
            sets,
            sc,
            value,
            slots,
            memories,
            green_red: (g2, g),
        }
    }
}

fn class15(v: i32) -> usize {
    let q = match v.abs() {
        a @ 0..=2 => a,
        3..=4 => 3,
        5..=8 => 4,
        9..=16 => 5,
        17..=32 => 6,
        _ => 7,
    };
    (7 + q * v.signum()) as usize
}

fn class7(v: i32) -> usize {
    let q = match v.abs() {
        0 => 0,
        1..=2 => 1,
        3..=8 => 2,
        _ => 3,
    };
    (3 + q * v.signum()) as usize
}

/// The contexts of a sample.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) counters: [usize; 16],
    pub(super) sets: [usize; 4],
    pub(super) sc: usize,
    pub(super) value: usize,
    pub(super) slots: [usize; 9],
    /// Values and counts of the slots.
    pub(super) memories: [(i32, usize); 9],
    pub(super) green_red: (i32, i32),
}
