//! What a prior's texts look like: how many bits each string of three bytes
//! would take in a code made for them. It says which of several priors fits
//! a content without unpacking any of them.

use rcodec_model::{Model as ModelFile, TensorData};

/// Name of the tensor.
pub(super) const NAME: &str = "signature";
/// Hashes of three bytes.
const LEN: usize = 1 << 14;

fn hashes(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.windows(3).map(|three| {
        let value = u32::from_le_bytes([three[0], three[1], three[2], 0]);
        (value.wrapping_mul(0x9e37_79b1) >> (32 - LEN.ilog2())) as usize
    })
}

/// The signature of some texts: for each hash its cost in 1/8 bit.
pub(super) fn of(pieces: &[&[u8]]) -> Vec<u8> {
    let mut counts = vec![1u64; LEN];
    for piece in pieces {
        hashes(piece).for_each(|hash| counts[hash] += 8);
    }
    let total: u64 = counts.iter().sum();
    let log_q3 = |n: u64| {
        // The logarithm in eighths, its fraction by a chord.
        let whole = n.ilog2();
        whole * 8 + ((n << 3 >> whole) & 7) as u32
    };
    counts
        .iter()
        .map(|&count| (log_q3(total) - log_q3(count)).min(255) as u8)
        .collect()
}

/// The signature in a file; `None` if there is none.
pub(super) fn of_file(file: &ModelFile) -> Option<Vec<u8>> {
    match &file.data().tensors.get(NAME)?.data {
        TensorData::Packed(costs) if costs.len() == LEN => Some(costs.clone()),
        _ => None,
    }
}

/// What a content costs by a signature, in 1/8 bit.
pub(super) fn cost(signature: &[u8], content: &[u8]) -> u64 {
    hashes(content).map(|hash| u64::from(signature[hash])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_alike_costs_less() {
        let (words, digits) = (b"the quick brown fox ".repeat(50), b"0123,4567;".repeat(90));
        let (of_words, of_digits) = (of(&[&words]), of(&[&digits]));
        assert!(cost(&of_words, &words[..200]) < cost(&of_digits, &words[..200]) / 2);
        assert!(cost(&of_digits, &digits[..200]) < cost(&of_words, &digits[..200]) / 2);
    }
}
