//! The symbols around the one to be coded, and hashes of them.

/// Columns of border on each side.
pub(crate) const BORDER: usize = 9;

/// Rows of border on top.
pub(crate) const BORDER_ROWS: usize = 4;

/// How many neighbours there are.
pub(crate) const NEAR_COUNT: usize = 26;

/// Neighbours, nearest first: dx, dy.
const NEAR: [(isize, isize); NEAR_COUNT] = [
    (-1, 0),
    (0, -1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (0, -2),
    (-2, -1),
    (2, -1),
    (-1, -2),
    (1, -2),
    (-3, 0),
    (0, -3),
    (-2, -2),
    (2, -2),
    (-3, -1),
    (3, -1),
    (-1, -3),
    (1, -3),
    (-4, 0),
    (-4, -1),
    (4, -1),
    (-3, -2),
    (3, -2),
    (5, -1),
    (-5, 0),
    (6, -1),
];

/// Contexts of a symbol.
pub(crate) const CONTEXTS: usize = 13;

/// How many of the neighbours make each of the first contexts.
const PREFIXES: [usize; 9] = [1, 2, 3, 4, 6, 8, 11, 16, 24];

/// The other contexts, by neighbours.
const PICKED: [&[usize]; 4] = [&[0, 4, 10, 18], &[1, 5, 11], &[1, 3, 7, 9], &[0, 1, 4, 5]];

/// Neighbours that the match model compares besides those of the longest
/// context.
const FAR: [(isize, isize); 14] = [
    (-5, 0),
    (-6, 0),
    (-7, 0),
    (-5, -1),
    (-6, -1),
    (6, -1),
    (7, -1),
    (8, -1),
    (-4, -2),
    (4, -2),
    (5, -2),
    (6, -2),
    (0, -4),
    (3, -3),
];

/// A picture of symbols with a border, filled from the top left on.
pub(crate) struct SymbolField {
    pub(crate) stride: usize,
    pub(crate) symbols: Vec<u32>,
    width: usize,
    near: [usize; NEAR_COUNT],
    far: [usize; FAR.len()],
}

/// The values of the nearest neighbours, in the order of distance.
pub(crate) type Near = [u32; NEAR_COUNT];

impl SymbolField {
    pub(crate) fn new(width: usize, rows: usize) -> Self {
        let stride = width + 2 * BORDER;
        let back = |(dx, dy): (isize, isize)| (-dy * stride as isize - dx) as usize;
        SymbolField {
            stride,
            symbols: vec![0; stride * (rows + BORDER_ROWS)],
            width,
            near: NEAR.map(back),
            far: FAR.map(back),
        }
    }

    /// Where row `y` begins.
    pub(crate) fn row(&self, y: usize) -> usize {
        (y + BORDER_ROWS) * self.stride + BORDER
    }

    /// Gives row `y` its left border: what is above its first symbol.
    pub(crate) fn begin_row(&mut self, y: usize) {
        let at = self.row(y);
        let above = self.symbols[at - self.stride];
        self.symbols[at - BORDER..at].fill(above);
    }

    /// Gives row `y` its right border: its last symbol.
    pub(crate) fn end_row(&mut self, y: usize) {
        let end = self.row(y) + self.width;
        let last = self.symbols[end - 1];
        self.symbols[end..end + BORDER].fill(last);
    }

    /// The neighbours of position `at`.
    #[inline(always)]
    pub(crate) fn near(&self, at: usize) -> Near {
        self.near.map(|back| self.symbols[at - back])
    }

    /// What is around a place that a symbol refers to: itself and those to its
    /// right, below it, to its left, above it, and above it on both sides.
    #[inline(always)]
    pub(crate) fn around(&self, at: usize) -> [u32; 7] {
        let (below, above) = (at + self.stride, at - self.stride);
        [at, at + 1, below, at - 1, above, above - 1, above + 1].map(|at| self.symbols[at])
    }

    /// Hash of everything that the match model compares.
    #[inline(always)]
    pub(crate) fn far_hash(&self, at: usize, longest: u32) -> u32 {
        let hash = self
            .far
            .iter()
            .fold(longest, |hash, &back| mix(hash, self.symbols[at - back]));
        finish(hash)
    }

    /// How many neighbours of two positions agree.
    #[inline(always)]
    pub(crate) fn agreement(&self, at: usize, other: usize, near: &Near) -> usize {
        if other < BORDER_ROWS * self.stride {
            return 0;
        }
        let pairs = self.near.iter().zip(near);
        pairs
            .filter(|&(&back, &symbol)| self.symbols[other - back] == symbol)
            .count()
            .min(at)
    }
}

/// Hashes of all contexts.
#[inline(always)]
pub(crate) fn hashes(near: &Near) -> [u32; CONTEXTS] {
    let mut hashes = [0; CONTEXTS];
    let mut hash = 0u32;
    let mut taken = 0;
    for (slot, &count) in hashes.iter_mut().zip(&PREFIXES) {
        for &symbol in &near[taken..count] {
            hash = mix(hash, symbol);
        }
        taken = count;
        *slot = finish(hash);
    }
    for (slot, picked) in hashes[PREFIXES.len()..].iter_mut().zip(PICKED) {
        *slot = finish(picked.iter().fold(77, |h, &i| mix(h, near[i])));
    }
    hashes
}

/// Replaces the hashes of two contexts by such that look at what the symbol
/// refers to.
#[inline(always)]
pub(crate) fn hash_reference(hashes: &mut [u32; CONTEXTS], near: &Near, around: &[u32; 7]) {
    let [w, n, ..] = *near;
    let [r, right, below, left, above, ..] = *around;
    let hash = |seed, symbols: &[u32]| finish(symbols.iter().fold(seed, |h, &s| mix(h, s)));
    hashes[10] = hash(78, &[r, w, n]);
    hashes[12] = hash(79, &[r, right, below, left, above]);
}

/// Adds a value to a hash.
#[inline(always)]
pub(crate) fn mix(hash: u32, value: u32) -> u32 {
    (hash ^ value.wrapping_add(1).wrapping_mul(0x85eb_ca77))
        .rotate_left(13)
        .wrapping_mul(0x9e37_79b1)
}

/// Spreads a hash over all bits.
#[inline(always)]
pub(crate) fn finish(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 15).wrapping_mul(0xc2b2_ae3d);
    hash ^ hash >> 13
}
