//! Pixels as symbols of 32 bits.

/// How a symbol is made of channels: the lowest bits are those of the channel
/// coded last.
#[derive(Clone, Debug)]
pub(crate) struct Packing {
    /// Bits and shift of every channel, in coding order.
    pub(crate) fields: Vec<(u32, u32)>,
}

impl Packing {
    /// Channels of so many bits; `None` if they need more than 32.
    pub(crate) fn new(bits: &[u32]) -> Option<Self> {
        let mut left: u32 = bits.iter().sum();
        if left > 32 {
            return None;
        }
        let fields = bits.iter().map(|&bits| {
            left -= bits;
            (bits, left)
        });
        Some(Packing {
            fields: fields.collect(),
        })
    }

    /// Symbols below `count`, as one channel.
    pub(crate) fn index(count: usize) -> Self {
        let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
        Packing {
            fields: vec![(bits, 0)],
        }
    }

    /// The value of a channel.
    #[inline(always)]
    pub(crate) fn get(&self, symbol: u32, channel: usize) -> i32 {
        let (bits, shift) = self.fields[channel];
        (u64::from(symbol) >> shift & ((1 << bits) - 1)) as i32
    }
}
