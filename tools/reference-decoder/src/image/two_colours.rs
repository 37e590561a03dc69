//! Pictures of two colours [5.8].

use super::Group;
use super::common::{finish, fold};
use super::graphics::{SameRow, input_of};
use crate::coding::{Apm, Coder, CountedBit, MixerStack, RangeDecoder, Rate};
use crate::error::Result;

const LIMIT: u32 = 512;

/// The pixels so far.
struct Pixels {
    width: usize,
    pixels: Vec<u32>,
}

impl Pixels {
    /// The pixel at a place, 0 outside of the picture.
    fn at(&self, x: isize, y: isize) -> u32 {
        if y < 0 || !(0..self.width as isize).contains(&x) {
            return 0;
        }
        self.pixels[y as usize * self.width + x as usize]
    }
}

pub(super) fn decode(coder: &mut RangeDecoder<'_>, group: Group) -> Result<Vec<u32>> {
    let mut picture = Pixels {
        width: group.width,
        pixels: vec![0; group.pixels()],
    };
    let mut same_row = SameRow::new();
    let mut counters = vec![vec![CountedBit::default(); 1 << 18]; 14];
    let mut stack = MixerStack::new(
        24,
        &[4096, 1024, 256],
        11000,
        Rate::falling(900, 50, 9),
        1,
        Rate::falling(300, 30, 9),
    );
    let mut apm1 = Apm::new(4096, LIMIT);
    let mut apm2 = Apm::new(4096, LIMIT);
    for y in 0..group.rows as isize {
        let same = same_row.decode(coder)?;
        let mut run = 0_u32;
        for x in 0..group.width as isize {
            let at = y as usize * group.width + x as usize;
            if same {
                picture.pixels[at] = picture.at(x, y - 1);
                continue;
            }
            let place = Place {
                picture: &picture,
                x,
                y,
                run,
            };
            let w1 = place.w(1);
            let t10 = place.t10();
            let h = place.hashes();
            let chosen: [usize; 14] = h.map(|h| (h >> 14) as usize);
            let mut input = [0; 24];
            let mut confident = 0;
            for k in 0..14 {
                let counter = &counters[k][chosen[k]];
                input[k] = input_of(counter);
                confident += u32::from(counter.count > 3);
            }
            for (i, k) in [4, 5, 6, 7, 8, 13].into_iter().enumerate() {
                let counter = &counters[k][chosen[k]];
                let count = counter.count.min(31) as i32;
                input[14 + i] = ((counter.p1() as i32 - 32768) * count) >> 10;
            }
            input[23] = 256;
            let contexts = [
                t10 % 4096,
                64 * confident + 2 * run.min(31) + w1,
                h[9] >> 24,
            ];
            let odds = stack.mix(&input, &contexts.map(|c| c as usize), 0);
            let q = stack.p1();
            let q1 = apm1.refine(odds, (t10 % 4096) as usize);
            let q2 = apm2.refine(odds, (h[4] >> 20) as usize);
            let pixel = coder.bit((2 * q + q1 + q2) >> 2)?;
            stack.learn(pixel);
            apm1.learn(pixel);
            apm2.learn(pixel);
            for k in 0..14 {
                counters[k][chosen[k]].learn(pixel, LIMIT);
            }
            let pixel = u32::from(pixel);
            run = if pixel == w1 { run + 1 } else { 1 };
            picture.pixels[at] = pixel;
        }
    }
    Ok(picture.pixels)
}

/// A pixel that is to be coded.
struct Place<'a> {
    picture: &'a Pixels,
    x: isize,
    y: isize,
    run: u32,
}

impl Place<'_> {
    /// The `n` pixels to the left.
    fn w(&self, n: isize) -> u32 {
        self.r(0, -n, -1)
    }

    /// The pixels `d` rows above, from `a` to `b` columns to the right.
    fn r(&self, d: isize, a: isize, b: isize) -> u32 {
        (a..=b).fold(0, |v, dx| 2 * v + self.picture.at(self.x + dx, self.y - d))
    }

    fn t10(&self) -> u32 {
        (self.w(4) << 8) + (self.r(1, -2, 2) << 3) + self.r(2, -1, 1)
    }

    /// How many pixels beside the one above are equal to it, at most 12.
    fn beside(&self, step: isize) -> u32 {
        let u = self.r(1, 0, 0);
        let other = |i: &isize| self.r(1, i * step, i * step) != u;
        (1..=12).find(other).map_or(12, |i| i as u32 - 1)
    }

    fn hashes(&self) -> [u32; 14] {
        let (w, r) = (|n| self.w(n), |d, a, b| self.r(d, a, b));
        let t10 = self.t10();
        let edges =
            (self.run.min(31) << 9) + (self.beside(1) << 5) + (self.beside(-1) << 1) + r(1, 0, 0);
        let ones = |v: u32| v.count_ones();
        let density = (1..=4).map(|d| ones(r(d, -8, 8))).sum::<u32>() + ones(w(12));
        let values: [&[u32]; 14] = [
            &[(w(2) << 4) + (r(1, -1, 1) << 1) + r(2, 0, 0)],
            &[t10],
            &[w(4), r(1, -3, 3), r(2, -2, 2)],
            &[
                (w(5) << 14) + (r(1, -4, 4) << 5),
                (r(2, -2, 2) << 3) + r(3, -1, 1),
            ],
            &[
                (w(6) << 9) + r(1, -4, 4),
                (r(2, -3, 3) << 8) + r(3, -2, 2),
                r(4, -1, 1),
            ],
            &[
                (w(8) << 11) + r(1, -5, 5),
                (r(2, -4, 4) << 9) + r(3, -3, 3),
                (r(4, -2, 2) << 3) + r(5, -1, 1),
            ],
            &[
                (w(10) << 13) + r(1, -6, 6),
                (r(2, -5, 5) << 11) + r(3, -4, 4),
                (r(4, -3, 3) << 12) + (r(5, -3, 3) << 5) + r(6, -2, 2),
            ],
            &[
                (w(12) << 17) + r(1, -8, 8),
                (r(2, -7, 7) << 13) + r(3, -6, 6),
                (r(4, -5, 5) << 20) + (r(5, -4, 4) << 9) + r(6, -4, 4),
            ],
            &[edges, r(2, -2, 2), w(1)],
            &[density >> 1, t10],
            &[
                (r(1, -1, 1) << 12) + (r(2, -1, 1) << 9) + (r(3, -1, 1) << 6),
                (r(4, -1, 1) << 6) + (r(5, -1, 1) << 3) + r(6, -1, 1),
                w(1),
            ],
            &[w(12), r(1, -1, 1)],
            &[edges, w(3)],
            &[(r(1, -3, 6) << 5) + w(5), (r(2, -3, 6) << 7) + r(3, -2, 4)],
        ];
        let mut hashes = [0; 14];
        for ((k, hash), values) in (1..).zip(&mut hashes).zip(values) {
            *hash = finish(fold(k, values));
        }
        hashes
    }
}
