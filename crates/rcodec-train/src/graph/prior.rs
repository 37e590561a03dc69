//! What is known before training: a block transform of pictures, and how much
//! energy its coefficients have.

use super::config::{INDICES_PER_UNIT, SCALE_MIN, log_scale_step};
use std::f32::consts::PI;

/// Channels of a sample: Y, Co, Cg.
const COLOURS: usize = 3;
/// Standard deviation of chroma against luma.
const CHROMA: f32 = 0.25;
/// Standard deviation of a luma coefficient of frequency 1, in real units.
const LUMA: f32 = 4.0;

/// A coefficient of the 8x8 DCT of a colour.
#[derive(Clone, Copy, Debug)]
struct Dct {
    colour: usize,
    u: usize,
    v: usize,
}

/// A Haar coefficient of the 2x2 neighbours of a DCT coefficient.
#[derive(Clone, Copy, Debug)]
struct Haar {
    /// Index into the coefficients kept at 1/8.
    dct: usize,
    a: usize,
    b: usize,
    energy: f32,
}

/// A 16x16 transform in two stages that keeps the coefficients which have most
/// energy in ordinary pictures: `c1` of the 192 of a block of 8x8, `c2` of the
/// `4 · c1` of four blocks, the first `latents` of those.
#[derive(Clone, Debug)]
pub(super) struct BlockTransform {
    dct: Vec<Dct>,
    haar: Vec<Haar>,
    c1: usize,
    c2: usize,
    latents: usize,
}

impl BlockTransform {
    pub(super) fn new(c1: usize, c2: usize, latents: usize) -> BlockTransform {
        let mut dct: Vec<Dct> = (0..COLOURS * 64)
            .map(|i| Dct {
                colour: i % COLOURS,
                u: i / COLOURS % 8,
                v: i / COLOURS / 8,
            })
            .collect();
        dct.sort_by(|a, b| energy(b, 0, 0).total_cmp(&energy(a, 0, 0)));
        dct.truncate(c1);
        let mut haar: Vec<Haar> = (0..4 * dct.len())
            .map(|i| {
                let (kept, a, b) = (i / 4, i % 2, i / 2 % 2);
                let energy = energy(&dct[kept], a, b);
                Haar {
                    dct: kept,
                    a,
                    b,
                    energy,
                }
            })
            .collect();
        haar.sort_by(|a, b| b.energy.total_cmp(&a.energy));
        haar.truncate(c2);
        BlockTransform {
            dct,
            haar,
            c1,
            c2,
            latents,
        }
    }

    /// Weights `[192][c1]` of the first stage.
    pub(super) fn forward_8(&self) -> Vec<f32> {
        let mut weights = vec![0.0; 64 * COLOURS * self.c1];
        for (out, coefficient) in self.dct.iter().enumerate() {
            for position in 0..64 {
                let input = position * COLOURS + coefficient.colour;
                weights[input * self.c1 + out] = coefficient.basis(position / 8, position % 8);
            }
        }
        weights
    }

    /// Weights `[c1][192]` of its inverse.
    pub(super) fn inverse_8(&self) -> Vec<f32> {
        transpose(&self.forward_8(), self.c1)
    }

    /// Weights `[3][3][c1][c2]` of the second stage, a convolution of stride 2
    /// whose window is centred on the first of the four blocks.
    pub(super) fn forward_haar(&self) -> Vec<f32> {
        let mut weights = vec![0.0; 9 * self.c1 * self.c2];
        for (out, haar) in self.haar.iter().enumerate() {
            for (dy, dx, value) in haar.taps() {
                let tap = (dy + 1) * 3 + dx + 1;
                weights[(tap * self.c1 + haar.dct) * self.c2 + out] = value;
            }
        }
        weights
    }

    /// Weights `[c2][4 · c1]` of its inverse, before the shuffle.
    pub(super) fn inverse_haar(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.c2 * 4 * self.c1];
        for (input, haar) in self.haar.iter().enumerate() {
            for (dy, dx, value) in haar.taps() {
                let out = (dy * 2 + dx) * self.c1 + haar.dct;
                weights[input * 4 * self.c1 + out] = value;
            }
        }
        weights
    }

    /// Scale index of each latent for a gain of 1, by [`INDICES_PER_UNIT`].
    pub(super) fn log_std_indices(&self) -> Vec<f32> {
        let index = |haar: &Haar| (haar.energy.sqrt() / SCALE_MIN).ln() / log_scale_step();
        let mut indices: Vec<f32> = self.haar.iter().map(index).collect();
        indices.resize(self.latents, 1.0);
        indices
            .iter()
            .map(|index| index / INDICES_PER_UNIT)
            .collect()
    }
}

impl Dct {
    /// The orthonormal basis function at a sample.
    fn basis(&self, y: usize, x: usize) -> f32 {
        let one = |frequency: usize, at: usize| {
            let norm: f32 = if frequency == 0 { 0.125 } else { 0.25 };
            let angle = (2 * at + 1) as f32 * frequency as f32 * PI / 16.0;
            norm.sqrt() * angle.cos()
        };
        one(self.u, x) * one(self.v, y)
    }
}

impl Haar {
    /// `(dy, dx, weight)` of the four blocks.
    fn taps(&self) -> [(usize, usize, f32); 4] {
        [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| {
            let negative = (dy * self.b + dx * self.a) % 2 == 1;
            (dy, dx, if negative { -0.5 } else { 0.5 })
        })
    }
}

/// Expected energy: falls with the square of the frequency.
fn energy(coefficient: &Dct, a: usize, b: usize) -> f32 {
    let (fx, fy) = (2 * coefficient.u + a, 2 * coefficient.v + b);
    let colour = if coefficient.colour == 0 { 1.0 } else { CHROMA };
    let std = LUMA * colour;
    // The mean of a block varies about three times as much as frequency 1.
    std * std / ((fx * fx + fy * fy) as f32).max(0.1)
}

/// The first channels as they are: weights `[inputs][outputs]`.
pub(super) fn select(inputs: usize, outputs: usize) -> Vec<f32> {
    (0..inputs * outputs)
        .map(|i| f32::from(i / outputs == i % outputs))
        .collect()
}

/// `[rows][columns]` to `[columns][rows]`.
fn transpose(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    (0..matrix.len())
        .map(|i| matrix[i % rows * columns + i / rows])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `weights` is `[inputs][outputs]`.
    fn apply(weights: &[f32], outputs: usize, x: &[f32]) -> Vec<f32> {
        (0..outputs)
            .map(|o| {
                x.iter()
                    .enumerate()
                    .map(|(i, x)| x * weights[i * outputs + o])
                    .sum()
            })
            .collect()
    }

    #[test]
    fn a_complete_transform_loses_nothing() {
        let transform = BlockTransform::new(192, 768, 768);
        let x: Vec<f32> = (0..192).map(|i| ((i * 37) % 101) as f32).collect();
        let y = apply(&transform.forward_8(), 192, &x);
        let back = apply(&transform.inverse_8(), 192, &y);
        assert!(x.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-3));

        // Four blocks in the lower right of a 3x3 window.
        let blocks: Vec<f32> = (0..4 * 192).map(|i| ((i * 31) % 97) as f32).collect();
        let mut window = vec![0.0; 9 * 192];
        for (block, tap) in [4, 5, 7, 8].into_iter().enumerate() {
            window[tap * 192..][..192].copy_from_slice(&blocks[block * 192..][..192]);
        }
        let y = apply(&transform.forward_haar(), 768, &window);
        let back = apply(&transform.inverse_haar(), 768, &y);
        assert!(blocks.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn low_frequencies_come_first() {
        let transform = BlockTransform::new(20, 12, 12);
        let first = transform.haar[0];
        let dct = transform.dct[first.dct];
        assert_eq!(
            (dct.colour, dct.u, dct.v, first.a, first.b),
            (0, 0, 0, 0, 0)
        );
        assert!(transform.dct.iter().any(|dct| dct.colour == 1));
    }
}
