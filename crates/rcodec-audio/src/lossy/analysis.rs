//! The encoder's choices for the frames of one or two channels: blocks, stereo
//! angles, energies, levels. Floats are allowed here; nothing of it has to be
//! repeated by a decoder.

use super::frame::Frame;
use super::layout::{Layout, MAX_SPLITS};
use super::params::Params;
use super::spectrum::{ANGLES, Block, MAX_ENERGY, MAX_LEVEL};
use super::synthesis::Transforms;
use super::trig::Turn;
use super::tuning::Tuning;

/// Analyses the signal of one or two channels.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    /// By channel: the signal from half a frame before the frame to be coded
    /// next, full scale 2^20.
    signal: Vec<Vec<i64>>,
    /// The splits of the frame to be coded next, as chosen when the one before
    /// was coded.
    splits: Option<Vec<u8>>,
    /// The overlap before it.
    overlap: u8,
    angles: Vec<usize>,
    angle_split: usize,
}

/// The coefficients of the blocks of a frame, `[block][channel][k]`, of which
/// stereo is rotated.
pub(crate) struct Analysed {
    pub(crate) frame: Frame,
    pub(crate) coefficients: Vec<Vec<Vec<f32>>>,
}

impl Analysis {
    pub(crate) fn new(channels: usize, frame: usize) -> Self {
        Analysis {
            signal: vec![vec![0; frame / 2]; channels],
            splits: None,
            overlap: 0,
            angles: Vec::new(),
            angle_split: 0,
        }
    }

    /// Appends samples to a channel.
    pub(crate) fn push(&mut self, channel: usize, samples: impl Iterator<Item = i64>) {
        self.signal[channel].extend(samples);
    }

    /// Has the next frame be cut anew.
    pub(crate) fn forget_splits(&mut self) {
        self.splits = None;
    }

    /// How many channels there are.
    pub(crate) fn channels(&self) -> usize {
        self.signal.len()
    }

    /// Samples at hand behind the beginning of the frame to be coded next.
    pub(crate) fn available(&self, frame: usize) -> usize {
        self.signal[0].len() - frame / 2
    }

    /// Analyses the next frame, for which there must be two frames of samples
    /// (or what there is at the end of the stream, padded).
    pub(crate) fn next(
        &mut self,
        layout: &Layout,
        params: &Params,
        tuning: &Tuning,
        transforms: &mut Transforms,
        quantiser: i32,
    ) -> Analysed {
        let length = layout.frame;
        let start = length / 2;
        let mut chooser = Chooser {
            layout,
            params,
            tuning,
            transforms,
            quantiser,
        };
        let splits = match self.splits.take() {
            Some(splits) => splits,
            None => chooser.splits(&self.signal, start),
        };
        let next = chooser.splits(&self.signal, start + length);
        let ends = |splits: &[u8], end: bool| {
            let split = if end { splits.last() } else { splits.first() };
            split.copied().unwrap_or(0)
        };
        let overlap = ends(&splits, true).max(ends(&next, false));
        let before = self.overlap.max(ends(&splits, false));
        let mut frame = Frame {
            splits,
            overlap,
            quantiser,
            blocks: Vec::new(),
        };
        let spectra = self.transformed(&frame, before, transforms, length);
        let mut coefficients = Vec::new();
        for (&split, channels) in frame.splits.iter().zip(spectra) {
            let (block, channels) = self.envelope(split.into(), channels, layout, tuning);
            frame.blocks.push(block);
            coefficients.push(channels);
        }
        self.overlap = overlap;
        self.splits = Some(next);
        for signal in &mut self.signal {
            signal.drain(..length);
        }
        Analysed {
            frame,
            coefficients,
        }
    }

    /// The coefficients of the blocks, `[block][channel][k]`.
    fn transformed(
        &self,
        frame: &Frame,
        before: u8,
        transforms: &mut Transforms,
        length: usize,
    ) -> Vec<Vec<Vec<f32>>> {
        let mut spectra = vec![Vec::new(); frame.splits.len()];
        for signal in &self.signal {
            let mut x = signal[..2 * length].to_vec();
            let mut at = length / 2;
            transforms.overlaps[usize::from(before)].fold(&mut x, at);
            for pair in frame.splits.windows(2) {
                at += length >> pair[0];
                transforms.overlaps[usize::from(pair[0].max(pair[1]))].fold(&mut x, at);
            }
            transforms.overlaps[usize::from(frame.overlap)].fold(&mut x, length / 2 + length);
            let mut at = length / 2;
            for (&split, spectrum) in frame.splits.iter().zip(&mut spectra) {
                let region = &mut x[at..at + (length >> split)];
                transforms.dcts[usize::from(split)].run(region);
                spectrum.push(region.iter().map(|&x| x as f32).collect());
                at += length >> split;
            }
        }
        spectra
    }

    /// Angles and energies of a block; rotates its coefficients.
    fn envelope(
        &mut self,
        split: usize,
        mut channels: Vec<Vec<f32>>,
        layout: &Layout,
        tuning: &Tuning,
    ) -> (Block, Vec<Vec<f32>>) {
        let bands = &layout.bands[split];
        let mut block = Block {
            split,
            energies: vec![vec![0; bands.count()]; channels.len()],
            ..Block::default()
        };
        if let [left, right] = &mut channels[..] {
            let map = &layout.maps[split][self.angle_split];
            for (band, &nearest) in map.iter().enumerate() {
                let before = self.angles.get(usize::from(nearest)).copied();
                let range = bands.range(band);
                let (l, r) = (&mut left[range.clone()], &mut right[range]);
                let angle = choose_angle(l, r, before, tuning);
                rotate(l, r, angle);
                block.angles.push(angle);
            }
            self.angles.clone_from(&block.angles);
            self.angle_split = split;
        }
        for (channel, energies) in channels.iter().zip(&mut block.energies) {
            for (band, energy) in energies.iter_mut().enumerate() {
                *energy = energy_of(&channel[bands.range(band)]);
            }
        }
        (block, channels)
    }
}

/// Four times the binary logarithm of the rms, rounded.
fn energy_of(x: &[f32]) -> i32 {
    let power = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    if power < 1.0 {
        return 0;
    }
    ((2.0 * power.log2()).round() as i32).clamp(1, MAX_ENERGY)
}

/// The direction of most of the energy; that of before, if it is nearly as
/// good.
fn choose_angle(l: &[f32], r: &[f32], before: Option<usize>, tuning: &Tuning) -> usize {
    let (mut ll, mut rr, mut lr) = (1e-3f64, 1e-3f64, 0f64);
    for (&l, &r) in l.iter().zip(r) {
        let (l, r) = (f64::from(l), f64::from(r));
        ll += l * l;
        rr += r * r;
        lr += l * r;
    }
    let product = |angle: usize| {
        let theta = angle as f64 / ANGLES as f64 * std::f64::consts::PI;
        let (s, c) = theta.sin_cos();
        let first = c * c * ll + s * s * rr + 2.0 * s * c * lr;
        let second = s * s * ll + c * c * rr - 2.0 * s * c * lr;
        // The logarithm of the product is what the two cost.
        (first.max(1.0) * second.max(1.0)).log2()
    };
    let theta = 0.5 * (2.0 * lr).atan2(ll - rr);
    let turns = theta / std::f64::consts::PI * ANGLES as f64;
    let best = (turns.round() as i32).rem_euclid(ANGLES as i32) as usize;
    if let Some(before) = before {
        let loss = (product(before) - product(best)) / 2.0 * l.len() as f64;
        if loss < tuning.angle_bits {
            return before;
        }
    }
    best
}

fn rotate(l: &mut [f32], r: &mut [f32], angle: usize) {
    let (cos, sin) = Turn::ratio(angle as u64, 2 * ANGLES as u64).cos_sin_q30();
    let scale = f64::from(1 << 30);
    let (cos, sin) = ((cos as f64 / scale) as f32, (sin as f64 / scale) as f32);
    for (l, r) in l.iter_mut().zip(r) {
        (*l, *r) = (*l * cos + *r * sin, *r * cos - *l * sin);
    }
}

/// Quantises a block whose steps are known.
pub(crate) fn quantise(
    block: &mut Block,
    coefficients: &[Vec<f32>],
    layout: &Layout,
    tuning: &Tuning,
) {
    let bands = &layout.bands[block.split];
    block.levels = coefficients
        .iter()
        .enumerate()
        .map(|(channel, x)| {
            let mut levels = vec![0; x.len()];
            for band in 0..bands.count() {
                let step = block.steps[channel][band];
                let inverse = (-step as f32 / 16.0).exp2();
                let energy = block.energies[channel][band];
                let range = bands.range(band);
                if !super::spectrum::can_be_active(range.len(), energy, step) {
                    continue;
                }
                for k in range {
                    let a = x[k].abs() * inverse;
                    let offset = if a < 1.0 {
                        tuning.round_first
                    } else {
                        tuning.round
                    };
                    let level = (a + offset).floor().min((MAX_LEVEL - 1) as f32) as i32;
                    levels[k] = if x[k] < 0.0 { -level } else { level };
                }
            }
            levels
        })
        .collect();
}

/// Chooses how a frame is cut.
struct Chooser<'a> {
    layout: &'a Layout,
    params: &'a Params,
    tuning: &'a Tuning,
    transforms: &'a mut Transforms,
    quantiser: i32,
}

impl Chooser<'_> {
    /// The splits of the frame at `start` that should cost the fewest bits for
    /// the same audible noise.
    fn splits(&mut self, signal: &[Vec<i64>], start: usize) -> Vec<u8> {
        let length = self.layout.frame;
        // Masks of the shortest blocks: [channel][time][band], 1/4 octaves.
        let mut masks: Vec<Vec<Vec<f32>>> = Vec::new();
        let mut costs: Vec<Vec<f32>> = (0..=MAX_SPLITS).map(|s| vec![0.0; 1 << s]).collect();
        for signal in signal {
            let finest = self.spectra(signal, start, MAX_SPLITS as usize);
            masks.push(self.masks(&finest));
            for (split, costs) in costs.iter_mut().enumerate() {
                let spectra = match split as u32 {
                    MAX_SPLITS => finest.clone(),
                    _ => self.spectra(signal, start, split),
                };
                let masks = &masks[masks.len() - 1];
                for (i, (spectrum, cost)) in spectra.iter().zip(costs).enumerate() {
                    let times = 1 << (MAX_SPLITS as usize - split);
                    let masks = &masks[i * times..(i + 1) * times];
                    *cost += self.cost(spectrum, split, masks);
                }
            }
        }
        let mut splits = Vec::new();
        best_splits(&costs, 0, 0, &mut splits);
        debug_assert!(splits.iter().map(|&s| length >> s).sum::<usize>() == length);
        splits
    }

    /// The spectra of all blocks of a frame cut evenly.
    fn spectra(&mut self, signal: &[i64], start: usize, split: usize) -> Vec<Vec<f32>> {
        let length = self.layout.frame;
        let size = length >> split;
        let overlap = &self.transforms.overlaps[split];
        let half = overlap.half();
        let mut x: Vec<i64> = (start - half..start + length + half)
            .map(|i| match signal.get(i) {
                Some(&x) => x,
                // Mirrored beyond what is known.
                None => {
                    let mirrored = (2 * signal.len()).saturating_sub(i + 1);
                    signal.get(mirrored).copied().unwrap_or(0)
                }
            })
            .collect();
        for block in 0..=1 << split {
            overlap.fold(&mut x, half + block * size);
        }
        (0..1 << split)
            .map(|block| {
                let region = &mut x[half + block * size..half + (block + 1) * size];
                self.transforms.dcts[split].run(region);
                region.iter().map(|&x| x as f32).collect()
            })
            .collect()
    }

    /// What masks noise at each time, in 1/4 octaves of amplitude: energies of
    /// the shortest blocks, which go on masking for a while.
    fn masks(&self, finest: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let bands = &self.layout.bands[MAX_SPLITS as usize];
        let mut masks: Vec<Vec<f32>> = Vec::new();
        for spectrum in finest {
            let mut mask: Vec<f32> = (0..bands.count())
                .map(|b| log_rms(&spectrum[bands.range(b)]))
                .collect();
            if let Some(last) = masks.last() {
                for (mask, last) in mask.iter_mut().zip(last) {
                    *mask = mask.max(last - self.tuning.forward_fall);
                }
            }
            masks.push(mask);
        }
        masks
    }

    /// About the bits of a block.
    fn cost(&self, spectrum: &[f32], split: usize, masks: &[Vec<f32>]) -> f32 {
        let bands = &self.layout.bands[split];
        let map = &self.layout.maps[split][MAX_SPLITS as usize];
        let rule = &self.params.rule;
        let mut bits = self.tuning.block_bits;
        for band in 0..bands.count() {
            let x = &spectrum[bands.range(band)];
            let energy = log_rms(x);
            let quietest = masks
                .iter()
                .map(|mask| mask[usize::from(map[band])])
                .fold(f32::MAX, f32::min);
            let echo = (energy - quietest - self.tuning.echo_from).max(0.0);
            let reference = energy - self.tuning.echo_weight * echo;
            let slope = rule.slope_q8 as f32 / 256.0;
            let step = self.quantiser as f32 / 16.0 + (reference / 4.0 - 11.0) * slope;
            let inverse = (-2.0 * step).exp2();
            let sum: f32 = x.iter().map(|x| (1.0 + x * x * inverse).log2()).sum();
            bits += 0.5 * sum * self.tuning.level_bits + self.tuning.band_bits;
        }
        bits
    }
}

fn log_rms(x: &[f32]) -> f32 {
    let power = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    2.0 * power.max(1.0).log2()
}

/// The best way to cut a part of a frame, bottom up; appends it and gives its
/// cost.
fn best_splits(costs: &[Vec<f32>], split: usize, index: usize, out: &mut Vec<u8>) -> f32 {
    let whole = costs[split][index];
    if split + 1 == costs.len() {
        out.push(split as u8);
        return whole;
    }
    let begin = out.len();
    let halves = best_splits(costs, split + 1, 2 * index, out)
        + best_splits(costs, split + 1, 2 * index + 1, out);
    if whole <= halves {
        out.truncate(begin);
        out.push(split as u8);
        return whole;
    }
    halves
}
