//! Lengths of frames and blocks, and the bands of frequencies.

use super::transform::MAX_BLOCK;

/// A frame can be halved so often.
pub(crate) const MAX_SPLITS: u32 = 3;
/// The highest frequency that is coded, Hz.
const TOP_HZ: u64 = 20_000;
/// The fewest coefficients of a band.
const MIN_BAND: usize = 4;

/// The bands of blocks of one length.
#[derive(Clone, Debug)]
pub(crate) struct Bands {
    /// Where bands begin, and where the last one ends.
    pub(crate) edges: Vec<usize>,
    /// Centres in 1/4096 of half the sample rate.
    centres: Vec<u32>,
}

impl Bands {
    /// Bands of blocks of `size` coefficients at a sample rate.
    fn new(size: usize, sample_rate: u32) -> Self {
        let half_rate = u64::from(sample_rate).div_ceil(2).max(1);
        let top_hz = TOP_HZ.min(half_rate);
        let bin = |hz: u64| ((hz * size as u64 + half_rate / 2) / half_rate) as usize;
        let mut edges = vec![0];
        let mut hz = 0;
        while hz < top_hz {
            // About a bark.
            let width = match hz {
                0..600 => 100,
                600..1500 => 150,
                1500..4000 => hz * 13 / 100,
                _ => hz * 17 / 100,
            };
            let least = (MIN_BAND as u64 * half_rate).div_ceil(size as u64);
            hz = (hz + width.max(least)).min(top_hz);
            let edge = bin(hz).min(size);
            let last = edges[edges.len() - 1];
            if edge >= last + MIN_BAND {
                edges.push(edge);
            } else if hz >= top_hz && edges.len() > 1 {
                let end = edges.len() - 1;
                edges[end] = edge;
            }
        }
        if edges.len() == 1 {
            edges.push(size);
        }
        let centres = edges
            .windows(2)
            .map(|e| ((e[0] + e[1]) * 2048 / size) as u32)
            .collect();
        Bands { edges, centres }
    }

    /// Number of bands.
    pub(crate) fn count(&self) -> usize {
        self.centres.len()
    }

    /// The coefficients of a band.
    pub(crate) fn range(&self, band: usize) -> std::ops::Range<usize> {
        self.edges[band]..self.edges[band + 1]
    }

    /// The end of the last band.
    pub(crate) fn end(&self) -> usize {
        self.edges[self.edges.len() - 1]
    }

    /// The band of other blocks in which the centre of one of these lies.
    fn map_to(&self, other: &Bands) -> Vec<u8> {
        let nearest = |centre: u32| {
            let distance = |i: &usize| other.centres[*i].abs_diff(centre);
            (0..other.count()).min_by_key(distance).unwrap_or(0) as u8
        };
        self.centres.iter().map(|&c| nearest(c)).collect()
    }

    /// The class (0 to 23) of a band for contexts: quarter octaves or so.
    pub(crate) fn class(&self, band: usize) -> usize {
        let centre = u64::from(self.centres[band]);
        let log = super::trig::log2_q3(centre + 64) - 48;
        ((log.max(0) as usize) * 24 / 49).min(23)
    }
}

/// Everything that follows from the sample rate and the length of frames.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Samples of a frame.
    pub(crate) frame: usize,
    /// Bands by how often the frame was halved.
    pub(crate) bands: Vec<Bands>,
    /// From bands of one length to those of another: `[from][to]`.
    pub(crate) maps: Vec<Vec<Vec<u8>>>,
}

impl Layout {
    pub(crate) fn new(frame: usize, sample_rate: u32) -> Self {
        let bands: Vec<Bands> = (0..=MAX_SPLITS)
            .map(|s| Bands::new(frame >> s, sample_rate))
            .collect();
        let maps = bands
            .iter()
            .map(|from| bands.iter().map(|to| from.map_to(to)).collect())
            .collect();
        Layout { frame, bands, maps }
    }
}

/// Whether frames can have this length.
pub(crate) fn is_frame(frame: usize) -> bool {
    let mut rest = frame;
    for factor in [2, 3, 5] {
        while rest > 0 && rest.is_multiple_of(factor) {
            rest /= factor;
        }
    }
    rest == 1 && (64..=MAX_BLOCK).contains(&frame) && frame.is_multiple_of(32)
}

/// The length of frames of about 10 ms (`stream`) or 21 to 43 ms (`file`).
pub(crate) fn frame_for(sample_rate: u32, milliseconds: u32) -> usize {
    let wanted = (u64::from(sample_rate) * u64::from(milliseconds) / 1000) as usize;
    let lengths = (1..=MAX_BLOCK / 32).map(|i| 32 * i);
    lengths
        .filter(|&l| is_frame(l))
        .min_by_key(|&l| l.abs_diff(wanted))
        .unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_what_is_heard() {
        for rate in [1, 8000, 16_000, 24_000, 44_100, 48_000, 96_000, 192_000] {
            for frame in [64, 192, 480, 512, 960, 1024, 2048, 4096] {
                if !is_frame(frame) {
                    continue;
                }
                let layout = Layout::new(frame, rate);
                for (s, bands) in layout.bands.iter().enumerate() {
                    let size = frame >> s;
                    assert!(bands.edges.windows(2).all(|e| e[0] < e[1]));
                    assert!(bands.end() <= size && bands.count() < 64);
                    let least = TOP_HZ.min(u64::from(rate) / 2) as usize * size
                        / (rate as usize).div_ceil(2);
                    assert!(bands.end() + 1 >= least, "{rate} {frame} {s}");
                    assert!((0..bands.count()).all(|b| bands.class(b) < 24));
                }
            }
        }
    }

    #[test]
    fn frames_are_near_what_is_wanted() {
        assert!(is_frame(frame_for(48_000, 10)));
        assert_eq!(frame_for(48_000, 20), 960);
    }
}
