//! What a prior's texts look like: how many bits each string of three bytes
//! would take in a code made for them. It says which of several priors fits
//! a content without unpacking any of them.

/// Name of the tensor.
pub(super) const NAME: &str = "signature";
/// Hashes of three bytes.
const LEN: usize = 1 << 14;

/// The signatures of the shipped priors, in their order: once more, so that
/// twelve megabytes of files need not be read to choose one of them.
pub(super) static SHIPPED: [[u8; LEN]; 3] = shipped(include_bytes!("signatures.bin"));

const fn shipped(bytes: &[u8; 3 * LEN]) -> [[u8; LEN]; 3] {
    let mut signatures = [[0; LEN]; 3];
    let mut i = 0;
    while i < 3 * LEN {
        signatures[i / LEN][i % LEN] = bytes[i];
        i += 1;
    }
    signatures
}

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

/// What a content costs by a signature, in 1/8 bit.
pub(super) fn cost(signature: &[u8], content: &[u8]) -> u64 {
    hashes(content).map(|hash| u64::from(signature[hash])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::{Budget, Limits};
    use rcodec_model::TensorData;
    use rcodec_model::registry::Registry;

    /// With `RCODEC_WRITE_SIGNATURES=1` writes them anew.
    #[test]
    fn signatures_are_those_of_the_shipped_priors() {
        let budget = Budget::new(Limits::unlimited());
        let mut in_files = Vec::new();
        for &id in crate::prior::SHIPPED {
            let file = Registry::from_env().load(id, &budget).unwrap();
            let TensorData::Packed(costs) = &file.data().tensors.get(NAME).unwrap().data else {
                panic!("{id} has no signature");
            };
            in_files.extend_from_slice(costs);
        }
        if std::env::var_os("RCODEC_WRITE_SIGNATURES").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/prior/signatures.bin");
            std::fs::write(path, &in_files).unwrap();
        }
        assert!(SHIPPED.as_flattened() == in_files);
    }

    #[test]
    fn what_is_alike_costs_less() {
        let (words, digits) = (b"the quick brown fox ".repeat(50), b"0123,4567;".repeat(90));
        let (of_words, of_digits) = (of(&[&words]), of(&[&digits]));
        assert!(cost(&of_words, &words[..200]) < cost(&of_digits, &words[..200]) / 2);
        assert!(cost(&of_digits, &digits[..200]) < cost(&of_words, &digits[..200]) / 2);
    }
}
