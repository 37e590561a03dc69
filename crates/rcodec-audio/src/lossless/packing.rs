//! Samples as they are, packed to the bits of their format.

/// Bytes that `count` samples of `bits` bits take.
pub(crate) fn packed_len(count: usize, bits: u8) -> usize {
    (count * usize::from(bits)).div_ceil(8)
}

/// Appends the low `bits` (1–32) bits of each sample, lowest bit first.
pub(crate) fn pack(samples: &[i32], bits: u8, out: &mut Vec<u8>) {
    let bits = u32::from(bits);
    let mask = (1u64 << bits) - 1;
    let (mut buffer, mut filled) = (0u64, 0);
    for &sample in samples {
        buffer |= (u64::from(sample as u32) & mask) << filled;
        filled += bits;
        while filled >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(buffer as u8);
    }
}

/// Reads samples of `bits` (1–32) bits, two's complement, from exactly as many
/// bytes as they take.
pub(crate) fn unpack(packed: &[u8], bits: u8, samples: &mut [i32]) {
    let bits = u32::from(bits);
    let (mut buffer, mut filled) = (0u64, 0);
    let mut bytes = packed.iter();
    for sample in samples {
        while filled < bits {
            buffer |= u64::from(bytes.next().copied().unwrap_or(0)) << filled;
            filled += 8;
        }
        let shift = 32 - bits;
        *sample = ((buffer as u32) << shift) as i32 >> shift;
        buffer >>= bits;
        filled -= bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_samples_come_back(
            bits in 1u8..=32,
            samples in prop::collection::vec(any::<i32>(), 0..50),
        ) {
            let samples: Vec<i32> =
                samples.iter().map(|s| s >> (32 - u32::from(bits))).collect();
            let mut packed = Vec::new();
            pack(&samples, bits, &mut packed);
            prop_assert_eq!(packed.len(), packed_len(samples.len(), bits));
            let mut unpacked = vec![0; samples.len()];
            unpack(&packed, bits, &mut unpacked);
            prop_assert_eq!(unpacked, samples);
        }
    }
}
