//! The neighbours of a sample, and numbers made of them.

use super::window::Window;

/// The samples around the one to be coded, in its own channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbourhood {
    pub(crate) w: i32,
    pub(crate) n: i32,
    pub(crate) nw: i32,
    pub(crate) ne: i32,
    pub(crate) ww: i32,
    pub(crate) nn: i32,
    pub(crate) nne: i32,
}

impl Neighbourhood {
    /// The neighbours in the middle of a window.
    #[inline(always)]
    pub(crate) fn of(window: &Window) -> Self {
        let at = |dx: isize, dy: isize| window.at(Window::place(0, dx, dy));
        Neighbourhood {
            w: at(-1, 0),
            ww: at(-2, 0),
            n: at(0, -1),
            nw: at(-1, -1),
            ne: at(1, -1),
            nn: at(0, -2),
            nne: at(1, -2),
        }
    }
}

/// Classes of -64..=63.
static CLASS15: [u8; 128] = {
    let mut table = [7; 128];
    let mut i = 0;
    while i < 128 {
        let value = i as i32 - 64;
        let magnitude = value.unsigned_abs();
        let class = if magnitude <= 2 {
            magnitude
        } else if magnitude > 32 {
            7
        } else {
            33 - (magnitude - 1).leading_zeros()
        };
        table[i] = if value < 0 { 7 - class } else { 7 + class } as u8;
        i += 1;
    }
    table
};

/// A signed number in 15 classes: 0, ±1, ±2, ±3-4, ±5-8, ±9-16, ±17-32, more.
#[inline(always)]
pub(crate) fn class15(value: i32) -> usize {
    usize::from(CLASS15[(value.clamp(-64, 63) + 64) as usize])
}

/// Classes of -16..=15.
static CLASS7: [u8; 32] = {
    let mut table = [3; 32];
    let mut i = 0;
    while i < 32 {
        let value = i as i32 - 16;
        let class = match value.unsigned_abs() {
            0 => 0,
            1..=2 => 1,
            3..=8 => 2,
            _ => 3,
        };
        table[i] = if value < 0 { 3 - class } else { 3 + class };
        i += 1;
    }
    table
};

/// A signed number in 7 classes: 0, ±1-2, ±3-8, more.
#[inline(always)]
pub(crate) fn class7(value: i32) -> usize {
    usize::from(CLASS7[(value.clamp(-16, 15) + 16) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_and_in_range() {
        for v in -70_000..70_000 {
            assert!(class15(v) <= class15(v + 1) && class15(v) < 15);
            assert!(class7(v) <= class7(v + 1) && class7(v) < 7);
        }
        let ends = [
            class15(-2),
            class15(-3),
            class15(4),
            class15(5),
            class15(33),
        ];
        assert_eq!(ends, [5, 4, 10, 11, 14]);
    }
}
