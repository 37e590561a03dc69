//! Weights in the order the matrix kernel reads them.
//!
//! Outputs are cut into blocks of 16, blocks into panels of up to four. A
//! panel is stored group by group, a group being the 2 (`i16`) or 4 (`i8`)
//! consecutive inputs that one instruction multiplies:
//! `[panel][group][block][16 outputs][inputs of the group]`. One block of a
//! group is one cache line.

use crate::simd::{Isa, LANES_I32};

/// Blocks of a panel, but for the last one.
pub(crate) const PANEL_BLOCKS: usize = 4;
/// Outputs of a panel.
pub(crate) const PANEL: usize = PANEL_BLOCKS * LANES_I32;

/// A cache line of weights.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line<T>(pub(crate) T);

/// What a product multiplies: [`Words`] or [`Bytes`].
pub(crate) trait Operand: Copy + Send + Sync + 'static {
    /// Activations and weights.
    type Elem: Copy + Default + Send + Sync + 'static;
    /// One cache line of them.
    type Line: Copy + std::fmt::Debug + Send + Sync + AsMut<[Self::Elem]>;
    /// Weights of 16 outputs and one group.
    type Weights<I: Isa>: Copy;
    /// Activations of one group.
    type Splat<I: Isa>: Copy;
    /// Inputs of a group.
    const GROUP: usize;

    /// A line of zeros.
    fn zero_line() -> Self::Line;
    /// One block of weights.
    fn load<I: Isa>(isa: I, line: &Self::Line) -> Self::Weights<I>;
    /// One group of activations, in every lane.
    ///
    /// # Safety
    /// `GROUP` values can be read at `src`.
    unsafe fn splat<I: Isa>(isa: I, src: *const Self::Elem) -> Self::Splat<I>;
    /// Adds the products of one group.
    fn dot<I: Isa>(isa: I, acc: I::I32, x: Self::Splat<I>, w: Self::Weights<I>) -> I::I32;
}

/// `i16` activations and weights, in pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words;

/// `i8` activations and weights (-127..=127), in fours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes;

impl AsMut<[i16]> for Line<[i16; 32]> {
    fn as_mut(&mut self) -> &mut [i16] {
        &mut self.0
    }
}

impl AsMut<[i8]> for Line<[i8; 64]> {
    fn as_mut(&mut self) -> &mut [i8] {
        &mut self.0
    }
}

impl Operand for Words {
    type Elem = i16;
    type Line = Line<[i16; 32]>;
    type Weights<I: Isa> = I::WordWeights;
    type Splat<I: Isa> = I::WordSplat;
    const GROUP: usize = 2;

    fn zero_line() -> Self::Line {
        Line([0; 32])
    }
    #[inline(always)]
    fn load<I: Isa>(isa: I, line: &Self::Line) -> I::WordWeights {
        // SAFETY: a line has the 32 values.
        unsafe { isa.load_words(line.0.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn splat<I: Isa>(isa: I, src: *const i16) -> I::WordSplat {
        // SAFETY: the caller's promise.
        unsafe { isa.splat_words(src) }
    }
    #[inline(always)]
    fn dot<I: Isa>(isa: I, acc: I::I32, x: I::WordSplat, w: I::WordWeights) -> I::I32 {
        isa.dot_words(acc, x, w)
    }
}

impl Operand for Bytes {
    type Elem = i8;
    type Line = Line<[i8; 64]>;
    type Weights<I: Isa> = I::ByteWeights;
    type Splat<I: Isa> = I::ByteSplat;
    const GROUP: usize = 4;

    fn zero_line() -> Self::Line {
        Line([0; 64])
    }
    #[inline(always)]
    fn load<I: Isa>(isa: I, line: &Self::Line) -> I::ByteWeights {
        // SAFETY: a line has the 64 values.
        unsafe { isa.load_bytes(line.0.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn splat<I: Isa>(isa: I, src: *const i8) -> I::ByteSplat {
        // SAFETY: the caller's promise.
        unsafe { isa.splat_bytes(src) }
    }
    #[inline(always)]
    fn dot<I: Isa>(isa: I, acc: I::I32, x: I::ByteSplat, w: I::ByteWeights) -> I::I32 {
        isa.dot_bytes(acc, x, w)
    }
}

/// A packed weight matrix.
#[derive(Clone, Debug)]
pub(crate) struct Packed<O: Operand> {
    lines: Vec<O::Line>,
    blocks: usize,
    groups: usize,
}

impl<O: Operand> Packed<O> {
    /// Packs `slots` outputs of `inputs` values each; `weight(slot, input)`
    /// gives the values. Both are padded with zeros.
    pub(crate) fn new(
        slots: usize,
        inputs: usize,
        weight: impl Fn(usize, usize) -> O::Elem,
    ) -> Packed<O> {
        let blocks = slots.div_ceil(LANES_I32);
        let groups = inputs.div_ceil(O::GROUP);
        let mut lines = vec![O::zero_line(); blocks * groups];
        for panel in 0..blocks.div_ceil(PANEL_BLOCKS) {
            let first = panel * PANEL_BLOCKS;
            let width = PANEL_BLOCKS.min(blocks - first);
            for group in 0..groups {
                for block in 0..width {
                    let line = &mut lines[first * groups + group * width + block];
                    for (i, value) in line.as_mut().iter_mut().enumerate() {
                        let slot = (first + block) * LANES_I32 + i / O::GROUP;
                        let input = group * O::GROUP + i % O::GROUP;
                        if slot < slots && input < inputs {
                            *value = weight(slot, input);
                        }
                    }
                }
            }
        }
        Packed {
            lines,
            blocks,
            groups,
        }
    }

    /// Blocks of 16 outputs.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Groups of inputs.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// The lines of the panel that begins at block `first`, and its width in
    /// blocks.
    #[inline(always)]
    pub(crate) fn panel(&self, first: usize) -> (&[O::Line], usize) {
        let width = PANEL_BLOCKS.min(self.blocks - first);
        let start = first * self.groups;
        (&self.lines[start..start + width * self.groups], width)
    }
}
