//! The manifest's JSON as bits.
//!
//! Names repeat: the byte that followed the last four bytes the last time is
//! nearly always right. Where it is not, the byte is coded knowing the one
//! before it (Bloom, "LZP", 1996).

use rcodec_core::{Budget, Result};
use rcodec_entropy::{BitCoder, BitModel, BitTree, CountedBit, RangeBitDecoder, RangeBitEncoder};

/// Logarithm of the number of remembered places.
const HASH_BITS: u32 = 14;
/// Lengths of agreement that are told apart.
const LENGTHS: u32 = 16;

/// Codes `text`. When decoding, `text` is empty and gets `len` bytes; its
/// memory has been charged.
fn code_text<C: BitCoder>(coder: &mut C, len: usize, text: &mut Vec<u8>) -> Result<()> {
    let mut places = vec![0u32; 1 << HASH_BITS];
    let mut is_right: [CountedBit; LENGTHS as usize] = Default::default();
    let mut bytes: Vec<BitTree<CountedBit, 256>> = vec![BitTree::new(); 256];
    let (mut last_four, mut agreement) = (0u32, 0);
    for i in 0..len {
        let slot = (last_four.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize;
        let place = places[slot] as usize;
        places[slot] = i as u32;
        // Place 0 is none: nothing is known there.
        let expected = (place > 0).then(|| text[place]);
        let wanted = if C::DECODES { 0 } else { text[i] };
        let byte = match expected {
            Some(expected) if is_right[agreement].code(coder, wanted == expected)? => {
                agreement = (agreement + 1).min(LENGTHS as usize - 1);
                expected
            }
            _ => {
                agreement = 0;
                let before = (last_four & 0xff) as usize;
                bytes[before].code(coder, u32::from(wanted))? as u8
            }
        };
        if C::DECODES {
            text.push(byte);
        }
        last_four = last_four << 8 | u32::from(byte);
    }
    Ok(())
}

/// `text` in fewer bytes.
pub(super) fn compress(text: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = RangeBitEncoder::new();
    code_text(&mut encoder, text.len(), &mut text.to_vec())?;
    Ok(encoder.finish())
}

/// The `len` bytes that `payload` stands for. The caller has seen that `len`
/// is in proportion.
pub(super) fn decompress(payload: &[u8], len: usize, budget: &Budget) -> Result<Vec<u8>> {
    let _models = budget.reserve(1 << 19)?;
    let mut text = Vec::new();
    text.try_reserve_exact(len)
        .map_err(|_| rcodec_core::Error::Limit("memory"))?;
    let mut decoder = RangeBitDecoder::new(payload);
    code_text(&mut decoder, len, &mut text)?;
    decoder.finish()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcodec_core::Limits;

    proptest! {
        #[test]
        fn round_trip(text in proptest::collection::vec(prop_oneof![97u8..101, any::<u8>()], 0..600)) {
            let payload = compress(&text).unwrap();
            let budget = Budget::new(Limits::default());
            prop_assert_eq!(decompress(&payload, text.len(), &budget).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_text_or_an_error(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            len in 0usize..1000,
        ) {
            let budget = Budget::new(Limits::default());
            let _ = decompress(&payload, len, &budget);
        }
    }

    #[test]
    fn repetition_is_cheap() {
        let text = r#"{"name":"synthesis.block.weights","q":9},"#.repeat(50);
        let payload = compress(text.as_bytes()).unwrap();
        assert!(payload.len() < 80, "{} bytes", payload.len());
    }
}
