//! What is looked at to predict a byte: the contexts.

/// Hashes of the same content in different contexts must differ.
#[inline(always)]
pub(crate) fn hash(value: u64, salt: u32) -> u32 {
    let mixed = (value ^ (u64::from(salt) << 40)).wrapping_add(u64::from(salt));
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 ^ salt.wrapping_mul(0x85eb_ca6b)
}

#[inline(always)]
fn hash2(a: u32, b: u32, salt: u32) -> u32 {
    hash(u64::from(a) << 32 | u64::from(b), salt).wrapping_mul(0xc2b2_ae35)
}

/// A context. The order of the variants is not part of the format; the lists
/// of contexts in [`super::class`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The last 1–8 bytes.
    Order(u32),
    /// The letters of the word so far, and the last byte.
    Word,
    /// The word so far and the one before.
    WordPair,
    /// The word so far and the one before the last.
    WordSkip,
    /// The two words before and the word so far.
    WordTriple,
    /// Bytes 2 and 3 back.
    Sparse23,
    /// Bytes 2 to 4 back.
    Sparse234,
    /// What followed the last two bytes the last times.
    Indirect,
    /// The byte above and the column.
    Above,
    /// The bytes above and the last byte.
    AboveLast,
    /// The last bytes' upper halves and the word so far.
    Masked,
    /// The field of the line, the first bytes of the line, and the last bytes.
    Field,
    /// The open brackets or tags and the last bytes.
    Nesting,
    /// The shape of the last bytes: classes of characters.
    Shape,
    /// The first word of the line and the word so far.
    LineStart,
    /// What followed the last byte, and the byte.
    Indirect1,
    /// The shape of the last bytes, and the words.
    ShapeWord,
    /// The word before and the last byte.
    WordBefore,
    /// The first word of the line, and the column.
    LineColumn,
    /// What the longest match predicts, and the last byte.
    Expected,
    /// The open bracket, what stood before it, and the word so far.
    NestingWord,
    /// The word so far and the byte above.
    WordAbove,
}

impl Kind {
    /// A number of its own, mixed into its hashes: priors know contexts by
    /// them, so they are part of the format.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Kind::Order(n) => n,
            Kind::Word => 10,
            Kind::WordPair => 11,
            Kind::WordSkip => 12,
            Kind::WordTriple => 13,
            Kind::Sparse23 => 14,
            Kind::Sparse234 => 15,
            Kind::Indirect => 16,
            Kind::Above => 17,
            Kind::AboveLast => 18,
            Kind::Masked => 19,
            Kind::Field => 20,
            Kind::Nesting => 21,
            Kind::Shape => 22,
            Kind::LineStart => 23,
            Kind::Indirect1 => 24,
            Kind::ShapeWord => 25,
            Kind::WordBefore => 26,
            Kind::LineColumn => 27,
            Kind::Expected => 28,
            Kind::NestingWord => 30,
            Kind::WordAbove => 32,
        }
    }
}

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 32;

/// What the contexts need to know of the bytes so far.
pub(crate) struct Tracker {
    /// The last eight bytes, the last one lowest.
    pub(crate) last8: u64,
    /// The eight before them.
    pub(crate) older8: u64,
    /// Hashes of the word so far and of the two before; 0 for none.
    word: u32,
    words: [u32; 2],
    /// Letters of the word so far.
    word_length: u32,
    /// Start of this line and of the line above.
    line: usize,
    line_above: usize,
    /// The byte above the one to come.
    above: u32,
    /// Bytes of this line so far.
    column: usize,
    /// Separators in this line.
    field: u32,
    /// Hash of the first word of the line, and whether it is complete.
    first_word: u32,
    first_word_done: bool,
    indent: u32,
    /// Classes of the last characters, four bits each; runs of digits or
    /// letters as one.
    shape: u32,
    /// Classes of the last characters, four bits each.
    classes: u32,
    /// Open brackets, each with what stood before it.
    nesting: Vec<(u8, u32)>,
    /// Inside double quotes.
    quoted: bool,
    /// The last closed string or name: keys of JSON, names of tags.
    key: u32,
    /// Bytes that followed pairs of bytes, and bytes.
    followed2: Vec<u16>,
    followed1: Box<[u16; 256]>,
}

fn slot_of(value: u32, partial: u32) -> usize {
    (value.wrapping_mul(0x9e37_79b1) ^ partial.wrapping_mul(0x2c1b_3c6d)).wrapping_mul(0x85eb_ca6b)
        as usize
        >> 12
}

/// Class of a byte, 0 to 15.
const fn class_of(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        b' ' => 4,
        b'\n' | b'\r' => 5,
        b'.' | b'!' | b'?' | b';' => 6,
        b',' | b':' => 7,
        b'<' | b'(' | b'[' | b'{' => 8,
        b'>' | b')' | b']' | b'}' => 9,
        b'"' | b'\'' | b'`' => 10,
        b'-' | b'_' | b'/' | b'=' | b'\\' => 11,
        0x80..=0xbf => 12,
        0xc0..=0xff => 13,
        b'\t' => 14,
        0..=31 => 15,
        _ => 0,
    }
}

static CLASS_OF: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class_of(byte as u8);
        byte += 1;
    }
    table
};

impl Tracker {
    pub(crate) fn new() -> Self {
        Tracker {
            last8: 0,
            older8: 0,
            word: 0,
            words: [0; 2],
            word_length: 0,
            line: 0,
            line_above: 0,
            above: 0,
            column: 0,
            field: 0,
            first_word: 0,
            first_word_done: false,
            indent: 0,
            shape: 0,
            classes: 0,
            nesting: Vec::new(),
            quoted: false,
            key: 0,
            followed2: vec![0; 1 << 16],
            followed1: Box::new([0; 256]),
        }
    }

    /// The byte `back` positions back; 1 is the last.
    #[inline(always)]
    pub(crate) fn byte(&self, back: u32) -> u32 {
        (self.last8 >> (8 * (back - 1)) & 255) as u32
    }

    /// The last sixteen bytes, the last one lowest.
    pub(crate) fn last16(&self) -> u128 {
        u128::from(self.older8) << 64 | u128::from(self.last8)
    }

    /// Takes note of the last byte of `history`.
    pub(crate) fn advance(&mut self, history: &[u8]) {
        let Some(&byte) = history.last() else {
            return;
        };
        let (c1, c2) = (self.byte(1) as usize, self.byte(2) as usize);
        let pair = &mut self.followed2[c2 << 8 | c1];
        *pair = *pair << 8 | u16::from(byte);
        let single = &mut self.followed1[c1];
        *single = *single << 8 | u16::from(byte);
        self.older8 = self.older8 << 8 | self.last8 >> 56;
        self.last8 = self.last8 << 8 | u64::from(byte);
        self.advance_word(byte);
        self.advance_line(byte, history.len());
        self.advance_nesting(byte);
        let class = u32::from(CLASS_OF[usize::from(byte)]);
        self.classes = self.classes << 4 | class;
        let is_run = matches!(class, 1..=3 | 12) && self.shape & 15 == class;
        if !is_run {
            self.shape = self.shape << 4 | class;
        }
        let column = history.len() - self.line;
        self.column = column;
        let above = self.line_above + column;
        self.above = if above < self.line {
            u32::from(history[above])
        } else {
            0
        };
    }

    fn advance_word(&mut self, byte: u8) {
        if byte.is_ascii_alphabetic() || byte >= 128 {
            let letter = u32::from(byte.to_ascii_lowercase());
            self.word = hash2(self.word.wrapping_add(letter), 0, 0x57) | 1;
            self.word_length += 1;
        } else if self.word != 0 {
            self.words = [self.word, self.words[0]];
            self.word = 0;
            self.word_length = 0;
        }
    }

    fn advance_line(&mut self, byte: u8, end: usize) {
        if byte == b'\n' {
            self.line_above = self.line;
            self.line = end;
            self.field = 0;
            self.first_word = 0;
            self.first_word_done = false;
            self.indent = 0;
            return;
        }
        if self.first_word == 0 && matches!(byte, b' ' | b'\t') {
            self.indent += 1;
        } else if !self.first_word_done {
            if byte.is_ascii_alphanumeric() || byte >= 128 {
                self.first_word = hash2(self.first_word, u32::from(byte), 0x1f) | 1;
            } else if self.first_word != 0 {
                self.first_word_done = true;
            } else {
                self.first_word = u32::from(byte) | 256;
            }
        }
        if matches!(byte, b',' | b'\t' | b';' | b'|') {
            self.field += 1;
        }
    }

    fn advance_nesting(&mut self, byte: u8) {
        match byte {
            b'(' | b'[' | b'{' | b'<' => {
                if self.nesting.len() == MAX_DEPTH {
                    self.nesting.clear();
                }
                self.nesting.push((byte, self.words[0]));
            }
            b')' | b']' | b'}' | b'>' => {
                self.nesting.pop();
            }
            b'"' => {
                self.quoted = !self.quoted;
                if !self.quoted {
                    self.key = self.words[0];
                }
            }
            b'\n' => self.quoted = false,
            _ => {}
        }
    }

    /// A small number for choosing weights: where in a word, line or structure
    /// the next byte stands (0 to 255).
    pub(crate) fn place(&self) -> usize {
        let depth = self.nesting.len().min(3) as u32;
        (self.word_length.min(7) << 5
            | depth << 3
            | u32::from(self.quoted) << 2
            | u32::from(self.field > 0) << 1
            | u32::from(self.indent > 0)) as usize
    }

    /// Classes of the last two bytes, 8 bits.
    #[inline(always)]
    pub(crate) fn classes(&self) -> usize {
        self.classes as usize & 255
    }

    /// Whether the byte above the next begins with the bits of `partial`: 0
    /// no, 1 and 2 yes, and it goes on with a 0 or a 1.
    #[inline(always)]
    pub(crate) fn above_agrees(&self, partial: usize, bits_known: usize) -> usize {
        let above = self.above as usize | 256;
        if above >> (8 - bits_known) == partial {
            1 + (above >> (7 - bits_known) & 1)
        } else {
            0
        }
    }

    /// A hash of the last 2 or 3 bytes and the bits of `partial`; its lowest
    /// bits are to be used.
    #[inline(always)]
    pub(crate) fn last_slot(&self, bytes: u32, partial: u32) -> usize {
        let bytes = self.last8 as u32 & (u32::MAX >> (32 - 8 * bytes));
        slot_of(bytes, partial)
    }

    /// The same of the word so far.
    #[inline(always)]
    pub(crate) fn word_slot(&self, partial: u32) -> usize {
        slot_of(self.word ^ self.byte(1), partial)
    }

    /// A hash of the word so far, and how long it is.
    #[inline(always)]
    pub(crate) fn word(&self) -> (u32, u32) {
        (self.word, self.word_length)
    }

    /// Where the next byte stands in its line: the column, up to `most`.
    #[inline(always)]
    pub(crate) fn column(&self, most: usize) -> usize {
        self.column.min(most)
    }

    /// The shape of the last bytes, 8 bits: two classes of runs.
    #[inline(always)]
    pub(crate) fn shape(&self) -> usize {
        self.shape as usize & 255
    }

    /// The hash of one context. `expected` is what the longest match predicts
    /// (a byte and 256, or 0) and the class of its length.
    #[inline(always)]
    pub(crate) fn context(&self, kind: Kind, end: usize, expected: (u32, u32)) -> u32 {
        let c1 = self.byte(1);
        let last = |bytes: u32| (self.last8 & (u64::MAX >> (64 - 8 * bytes))) as u32;
        let column = ((end - self.line).min(255)) as u32;
        let [before, before2] = self.words;
        match kind {
            Kind::Order(n) => hash(self.last8 & (u64::MAX >> (64 - 8 * n)), n),
            Kind::Word => hash2(self.word, c1, 0x11),
            Kind::WordPair => hash2(self.word, before, 0x12),
            Kind::WordSkip => hash2(self.word, before2.rotate_left(7), 0x13),
            Kind::WordTriple => hash2(self.word, before.wrapping_mul(3) ^ before2, 0x14),
            Kind::Sparse23 => hash2(last(3) >> 8, 0, 0x15),
            Kind::Sparse234 => hash2(last(4) >> 8, 0, 0x16),
            Kind::Indirect => {
                let followed = self.followed2[last(2) as usize];
                hash2(u32::from(followed), c1, 0x18)
            }
            Kind::Above => hash2(self.above, column, 0x1a),
            Kind::AboveLast => hash2(self.above, last(2), 0x1b),
            Kind::Masked => hash2(last(4) & 0x00f0_f0ff, self.word, 0x1c),
            Kind::Field => hash2(self.field.min(255) << 16 | last(2), self.first_word, 0x1d),
            Kind::Nesting => {
                let (open, name) = self.nesting.last().copied().unwrap_or((0, 0));
                let state = u32::from(open) | u32::from(self.quoted) << 8;
                hash2(state << 16 | last(2), name ^ self.key, 0x1e)
            }
            Kind::Shape => hash2(self.shape, 0, 0x1f),
            Kind::LineStart => hash2(self.first_word, self.word ^ c1, 0x21),
            Kind::Indirect1 => {
                let followed = self.followed1[c1 as usize];
                hash2(u32::from(followed), c1, 0x19)
            }
            Kind::ShapeWord => hash2(self.shape & 0xffff, before ^ self.word.rotate_left(9), 0x20),
            Kind::WordBefore => hash2(before, c1 | self.word_length.min(3) << 8, 0x24),
            Kind::LineColumn => hash2(self.first_word ^ self.field, column, 0x25),
            Kind::NestingWord => {
                let (open, name) = self.nesting.last().copied().unwrap_or((0, 0));
                let state = u32::from(open) | u32::from(self.quoted) << 8;
                hash2(state ^ name.rotate_left(9), self.word ^ c1, 0x27)
            }
            Kind::WordAbove => hash2(self.word, self.above, 0x29),
            Kind::Expected => hash2(expected.0 | expected.1.min(15) << 16, c1, 0x22),
        }
    }
}
