//! Reversible colour transforms, for coders that look at one channel at a
//! time.

use rcodec_core::{Error, Result};

/// How the three colour channels are turned into others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColorTransform {
    /// As they are.
    None,
    /// Green is taken from red and blue.
    SubtractGreen,
    /// Luma and two differences (Malvar and Sullivan, 2003: YCoCg-R).
    YCoCg,
}

impl ColorTransform {
    /// All transforms, by their number in the file.
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::SubtractGreen, Self::YCoCg];

    /// The transform with a number.
    pub(crate) fn from_number(number: u32, at: u64) -> Result<Self> {
        let found = Self::ALL.get(number as usize).copied();
        found.ok_or(Error::malformed(at, "unknown colour transform"))
    }

    /// Its number in the file.
    pub(crate) fn number(self) -> u32 {
        self as u32
    }

    /// Red, green and blue to three channels: the first two differ from zero
    /// by at most the range of a sample.
    #[inline(always)]
    pub(crate) fn forward(self, [r, g, b]: [i32; 3]) -> [i32; 3] {
        match self {
            Self::None => [g, r, b],
            Self::SubtractGreen => [g, r - g, b - g],
            Self::YCoCg => {
                let co = r - b;
                let t = b + (co >> 1);
                let cg = g - t;
                [t + (cg >> 1), cg, co]
            }
        }
    }

    /// Undoes [`forward`](Self::forward).
    #[inline(always)]
    pub(crate) fn inverse(self, [first, second, third]: [i32; 3]) -> [i32; 3] {
        match self {
            Self::None => [second, first, third],
            Self::SubtractGreen => [second + first, first, third + first],
            Self::YCoCg => {
                let (cg, co) = (second, third);
                let t = first - (cg >> 1);
                let b = t - (co >> 1);
                [b + co, cg + t, b]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_are_reversible() {
        for transform in ColorTransform::ALL {
            let number = ColorTransform::from_number(transform.number(), 0).unwrap();
            assert_eq!(number, transform);
            for r in [0, 1, 100, 255, 65_535] {
                for g in [0, 2, 77, 254, 65_535] {
                    for b in [0, 3, 128, 255, 65_535] {
                        let rgb = [r, g, b];
                        assert_eq!(transform.inverse(transform.forward(rgb)), rgb);
                    }
                }
            }
        }
    }
}
