//! What is noted of the bytes so far, and contexts made of it (sections 4, 5).

/// `hash` of section 4; `s` is below 2^32.
fn hash(v: u64, s: u32) -> u32 {
    let m = (v ^ (u64::from(s) << 40)).wrapping_add(u64::from(s));
    (m.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32 ^ s.wrapping_mul(0x85EB_CA6B)
}

/// `hash2` of section 4.
fn hash2(a: u32, b: u32, s: u32) -> u32 {
    hash(u64::from(a) << 32 | u64::from(b), s).wrapping_mul(0xC2B2_AE35)
}

/// `slot_of` of section 4.
pub(super) fn slot_of(v: u32, q: u32) -> u32 {
    (v.wrapping_mul(0x9E37_79B1) ^ q.wrapping_mul(0x2C1B_3C6D)).wrapping_mul(0x85EB_CA6B) >> 12
}

/// The class of a byte.
fn class_of(b: u8) -> u32 {
    match b {
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
        0x80..=0xBF => 12,
        0xC0..=0xFF => 13,
        b'\t' => 14,
        0..32 => 15,
        _ => 0,
    }
}

fn is_letter(b: u8) -> bool {
    b.is_ascii_alphabetic() || b >= 0x80
}

/// What is noted of the content so far.
pub(super) struct Noted {
    pub(super) content: Vec<u8>,
    pub(super) word: u32,
    pub(super) word_length: u32,
    before: u32,
    before2: u32,
    line: usize,
    line_above: usize,
    pub(super) column: usize,
    pub(super) above: u8,
    field: u32,
    indent: u32,
    first_word: u32,
    first_done: bool,
    pub(super) classes: u32,
    pub(super) shape: u32,
    nesting: Vec<(u8, u32)>,
    quoted: bool,
    key: u32,
    followed2: Vec<u16>,
    followed1: Vec<u16>,
}

impl Noted {
    pub(super) fn new() -> Noted {
        Noted {
            content: Vec::new(),
            word: 0,
            word_length: 0,
            before: 0,
            before2: 0,
            line: 0,
            line_above: 0,
            column: 0,
            above: 0,
            field: 0,
            indent: 0,
            first_word: 0,
            first_done: false,
            classes: 0,
            shape: 0,
            nesting: Vec::new(),
            quoted: false,
            key: 0,
            followed2: vec![0; 65536],
            followed1: vec![0; 256],
        }
    }

    /// `c1`, `c2` ...: the `n`-th last byte, 0 before the first.
    pub(super) fn c(&self, n: usize) -> u8 {
        if n <= self.content.len() {
            self.content[self.content.len() - n]
        } else {
            0
        }
    }

    /// The last `n` bytes as a number, the last one lowest.
    fn last_long(&self, n: usize) -> u64 {
        (1..=n)
            .rev()
            .fold(0, |number, i| number << 8 | u64::from(self.c(i)))
    }

    /// The same of up to four bytes.
    pub(super) fn last(&self, n: usize) -> u32 {
        assert!(n <= 4);
        self.last_long(n) as u32
    }

    pub(super) fn note(&mut self, b: u8) {
        let two = self.last(2) as usize;
        self.followed2[two] = self.followed2[two] << 8 | u16::from(b);
        let one = usize::from(self.c(1));
        self.followed1[one] = self.followed1[one] << 8 | u16::from(b);
        self.content.push(b);
        let end = self.content.len();

        if is_letter(b) {
            let small = u32::from(if b.is_ascii_uppercase() { b + 32 } else { b });
            self.word = hash2(self.word.wrapping_add(small), 0, 0x57) | 1;
            self.word_length += 1;
        } else if self.word != 0 {
            self.before2 = self.before;
            self.before = self.word;
            self.word = 0;
            self.word_length = 0;
        }

        if b == b'\n' {
            self.line_above = self.line;
            self.line = end;
            self.field = 0;
            self.indent = 0;
            self.first_word = 0;
            self.first_done = false;
        } else {
            if self.first_word == 0 && (b == b' ' || b == b'\t') {
                self.indent += 1;
            } else if !self.first_done {
                if is_letter(b) || b.is_ascii_digit() {
                    self.first_word = hash2(self.first_word, u32::from(b), 0x1F) | 1;
                } else if self.first_word != 0 {
                    self.first_done = true;
                } else {
                    self.first_word = u32::from(b) + 256;
                }
            }
            if matches!(b, b',' | b'\t' | b';' | b'|') {
                self.field += 1;
            }
        }

        match b {
            b'(' | b'[' | b'{' | b'<' => {
                if self.nesting.len() == 32 {
                    self.nesting.clear();
                }
                self.nesting.push((b, self.before));
            }
            b')' | b']' | b'}' | b'>' => {
                self.nesting.pop();
            }
            b'"' => {
                self.quoted = !self.quoted;
                if !self.quoted {
                    self.key = self.before;
                }
            }
            b'\n' => self.quoted = false,
            _ => {}
        }

        let class = class_of(b);
        self.classes = self.classes << 4 | class;
        if !matches!(class, 1 | 2 | 3 | 12) || self.shape % 16 != class {
            self.shape = self.shape << 4 | class;
        }

        self.column = end - self.line;
        let above = self.line_above + self.column;
        self.above = if above < self.line {
            self.content[above]
        } else {
            0
        };
    }

    pub(super) fn place(&self) -> usize {
        self.word_length.min(7) as usize * 32
            + self.nesting.len().min(3) * 8
            + usize::from(self.quoted) * 4
            + usize::from(self.field > 0) * 2
            + usize::from(self.indent > 0)
    }

    /// `above_agrees` when `known` bits of a byte are known, those of `partial`.
    pub(super) fn above_agrees(&self, partial: usize, known: u32) -> usize {
        let a = usize::from(self.above) + 256;
        if a >> (8 - known) != partial {
            0
        } else {
            1 + (a >> (7 - known) & 1)
        }
    }
}

/// The kinds of contexts.
#[derive(Clone, Copy)]
pub(super) enum Context {
    Order(usize),
    Word,
    WordPair,
    WordSkip,
    WordTriple,
    Sparse23,
    Sparse234,
    Indirect,
    Above,
    AboveLast,
    Masked,
    Field,
    Nesting,
    Shape,
    LineStart,
    Indirect1,
    ShapeWord,
    WordBefore,
    LineColumn,
    Expected,
    NestingWord,
    WordAbove,
}

impl Context {
    /// The context's hash. `expected` and `expected_class` are those of the
    /// match models.
    pub(super) fn hash(self, n: &Noted, expected: u32, expected_class: u32) -> u32 {
        let c1 = u32::from(n.c(1));
        let column = n.column.min(255) as u32;
        let above = u32::from(n.above);
        let (number, value) = match self {
            Context::Order(order) => (order as u32, hash(n.last_long(order), order as u32)),
            Context::Word => (10, hash2(n.word, c1, 0x11)),
            Context::WordPair => (11, hash2(n.word, n.before, 0x12)),
            Context::WordSkip => (12, hash2(n.word, n.before2.rotate_left(7), 0x13)),
            Context::WordTriple => (
                13,
                hash2(n.word, n.before.wrapping_mul(3) ^ n.before2, 0x14),
            ),
            Context::Sparse23 => (14, hash2(n.last(3) >> 8, 0, 0x15)),
            Context::Sparse234 => (15, hash2(n.last(4) >> 8, 0, 0x16)),
            Context::Indirect => {
                let followed = u32::from(n.followed2[n.last(2) as usize]);
                (16, hash2(followed, c1, 0x18))
            }
            Context::Above => (17, hash2(above, column, 0x1A)),
            Context::AboveLast => (18, hash2(above, n.last(2), 0x1B)),
            Context::Masked => (19, hash2(n.last(4) & 0x00F0_F0FF, n.word, 0x1C)),
            Context::Field => (
                20,
                hash2((n.field.min(255) << 16) + n.last(2), n.first_word, 0x1D),
            ),
            Context::Nesting => {
                let (open, name) = n.nesting.last().copied().unwrap_or((0, 0));
                let inside = u32::from(open) + 256 * u32::from(n.quoted);
                (21, hash2((inside << 16) + n.last(2), name ^ n.key, 0x1E))
            }
            Context::Shape => (22, hash2(n.shape, 0, 0x1F)),
            Context::LineStart => (23, hash2(n.first_word, n.word ^ c1, 0x21)),
            Context::Indirect1 => (
                24,
                hash2(u32::from(n.followed1[usize::from(n.c(1))]), c1, 0x19),
            ),
            Context::ShapeWord => (
                25,
                hash2(n.shape % 65536, n.before ^ n.word.rotate_left(9), 0x20),
            ),
            Context::WordBefore => (26, hash2(n.before, c1 + 256 * n.word_length.min(3), 0x24)),
            Context::LineColumn => (27, hash2(n.first_word ^ n.field, column, 0x25)),
            Context::NestingWord => {
                let (open, name) = n.nesting.last().copied().unwrap_or((0, 0));
                let inside = u32::from(open) + 256 * u32::from(n.quoted);
                (30, hash2(inside ^ name.rotate_left(9), n.word ^ c1, 0x27))
            }
            Context::WordAbove => (32, hash2(n.word, above, 0x29)),
            Context::Expected => (
                28,
                hash2(expected + (expected_class.min(15) << 16), c1, 0x22),
            ),
        };
        let s = value.wrapping_add(number).wrapping_mul(0x9E37_79B1);
        s ^ s >> 15
    }
}
