//! The mode fast [4].

use super::{Group, Plane, ValueMap, bitlen, head, streams};
use crate::bytes::Bytes;
use crate::coding::{AnsDecoder, BitTree, Cdf, Coder, RangeDecoder, unzigzag};
use crate::error::{Result, malformed};

pub(super) fn decode(group: Group, mut bytes: Bytes<'_>) -> Result<(Vec<ValueMap>, Vec<Plane>)> {
    let mut coder = RangeDecoder::new(head(&mut bytes)?)?;
    let maps = ValueMap::read_all(&mut coder, group)?;
    let transform = coder.raw(2)?;
    if transform == 3 {
        return malformed("an unknown colour transform");
    }
    let colours = if group.channels >= 3 { 3 } else { 0 };
    let coded: Vec<usize> = (0..group.channels)
        .filter(|&c| c < colours || maps[c].top() > 0)
        .collect();
    let mut tables = Vec::new();
    for _ in &coded {
        tables.push(Tables::read(&mut coder)?);
    }
    coder.finish()?;
    let streams = streams(&mut bytes, 2 * coded.len())?;
    let mut channels = Vec::new();
    for (tables, pair) in tables.into_iter().zip(streams.chunks(2)) {
        channels.push(Channel::new(group, tables, pair[0], pair[1])?);
    }
    for y in 0..group.rows {
        for x in 0..group.width {
            let mut crossed = 0;
            for channel in &mut channels {
                crossed = channel.decode(x, y, crossed)?;
            }
        }
    }
    let mut planes = vec![vec![0; group.pixels()]; group.channels];
    for (&c, channel) in coded.iter().zip(channels) {
        planes[c] = channel.finish()?;
    }
    if colours > 0 {
        untransform(transform, &mut planes);
    }
    for (plane, map) in planes.iter().zip(&maps) {
        if plane.iter().any(|rank| !(0..=map.top()).contains(rank)) {
            return malformed("a rank beyond the largest one");
        }
    }
    Ok((maps, planes))
}

/// Red, green and blue from what is coded [4.4].
fn untransform(transform: u64, planes: &mut [Plane]) {
    for at in 0..planes[0].len() {
        let (a, b, c) = (planes[0][at], planes[1][at], planes[2][at]);
        let (red, green, blue) = match transform {
            0 => (b, a, c),
            1 => (b + a, a, c + a),
            _ => {
                let t = a - (b >> 1);
                let y = t - (c >> 1);
                (y + c, b + t, y)
            }
        };
        (planes[0][at], planes[1][at], planes[2][at]) = (red, green, blue);
    }
}

/// The tables of tokens of a channel [4.2].
struct Tables {
    tables: Vec<Cdf>,
    share: usize,
}

impl Tables {
    fn read(coder: &mut RangeDecoder<'_>) -> Result<Self> {
        let share = [0, 1, 2, 5][coder.raw(2)? as usize];
        let mut tree = vec![BitTree::new(4, 60); 16];
        let mut tables = Vec::new();
        for _ in 0..(23 >> share) + 1 {
            if coder.raw(1)? == 0 {
                tables.push(Cdf::from_frequencies(&[1]));
                continue;
            }
            let last = coder.raw(7)?;
            if last > 83 {
                return malformed("an unknown token");
            }
            let mut before = 0;
            let mut frequencies = Vec::new();
            for _ in 0..=last {
                let length = tree[before as usize].decode(coder)?;
                before = length;
                frequencies.push(if length < 2 {
                    u64::from(length)
                } else {
                    let kept = (length - 1).min(2);
                    let dropped = length - 1 - kept;
                    ((1 << kept) + coder.raw(kept)?) << dropped
                });
            }
            tables.push(Cdf::from_frequencies(&frequencies));
        }
        Ok(Self { tables, share })
    }
}

/// Bits that stand as they are, the lowest of a byte first.
struct PlainBits<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl PlainBits<'_> {
    fn number(&mut self, bits: u32) -> Result<u64> {
        let mut number = 0;
        for i in 0..bits {
            let Some(byte) = self.bytes.get(self.read / 8) else {
                return malformed("plain bits are missing");
            };
            number |= u64::from(byte >> (self.read % 8) & 1) << i;
            self.read += 1;
        }
        Ok(number)
    }
}

/// A channel at work [4.3].
struct Channel<'a> {
    width: usize,
    tables: Tables,
    tokens: AnsDecoder<'a>,
    plain: PlainBits<'a>,
    samples: Plane,
    /// The absolute values of residuals.
    errors: Plane,
    bias: Vec<i32>,
}

impl<'a> Channel<'a> {
    fn new(group: Group, tables: Tables, tokens: &'a [u8], plain: &'a [u8]) -> Result<Self> {
        Ok(Self {
            width: group.width,
            tables,
            tokens: AnsDecoder::new(tokens)?,
            plain: PlainBits {
                bytes: plain,
                read: 0,
            },
            samples: vec![0; group.pixels()],
            errors: vec![0; group.pixels()],
            bias: vec![0; 24 * 27],
        })
    }

    fn residual(&mut self, class: usize) -> Result<i32> {
        let table = &self.tables.tables[class >> self.tables.share];
        let t = self.tokens.symbol(table)? as u64;
        let folded = if t < 16 {
            t
        } else {
            let n = (t - 16) / 4 + 2;
            ((4 + t % 4) << n) + self.plain.number(n as u32)?
        };
        Ok(unzigzag(folded) as i32)
    }

    /// The sample and the error at a place, which may lie outside.
    fn around(&self, x: isize, y: isize, at_work: usize) -> (i32, i32) {
        let first_above = (at_work as isize - 1) * self.width as isize;
        let place = if y < 0 || first_above < 0 && x < 0 {
            return (0, 0);
        } else if x < 0 {
            return (self.samples[first_above as usize], 0);
        } else {
            y as usize * self.width + (x as usize).min(self.width - 1)
        };
        (self.samples[place], self.errors[place])
    }

    /// Decodes a sample; gives its error.
    fn decode(&mut self, x: usize, y: usize, crossed: i32) -> Result<i32> {
        let around = |dx: isize, dy: isize| self.around(x as isize + dx, y as isize + dy, y);
        let ((w, e_w), (ww, _), (n, e_n)) = (around(-1, 0), around(-2, 0), around(0, -1));
        let ((nw, e_nw), (ne, e_ne)) = (around(-1, -1), around(1, -1));
        let activity =
            2 * e_w + 2 * e_n + e_ne + e_nw + (w - ww).abs() + (n - ne).abs() + 2 * crossed;
        let v = activity as u32 + 1;
        let s = bitlen(v) - 1;
        let class = (2 * s + ((2 * v) >> s & 1)).min(23) as usize;
        let g = (w + n - nw).clamp(w.min(n), w.max(n));
        let sign = |d: i32| (d.signum() + 1) as usize;
        let texture = 9 * sign(n - nw) + 3 * sign(w - nw) + sign(ne - n);
        let q = (3 * g + ((w + ne + 1) >> 1) + 2) >> 2;
        let bias = self.bias[27 * class + texture];
        let q = q + ((bias + 128) >> 8);
        let residual = self.residual(class)?;
        self.bias[27 * class + texture] = bias + (((residual << 8) - bias) >> 5);
        let at = y * self.width + x;
        self.samples[at] = (q + residual).clamp(-(1 << 17), 1 << 17);
        self.errors[at] = residual.abs();
        Ok(residual.abs())
    }

    fn finish(self) -> Result<Plane> {
        self.tokens.finish()?;
        if self.plain.bytes.len() != self.plain.read.div_ceil(8) {
            return malformed("plain bits are left");
        }
        Ok(self.samples)
    }
}
