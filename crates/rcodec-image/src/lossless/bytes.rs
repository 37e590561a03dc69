//! Numbers and streams within a payload.

use rcodec_core::{Error, Result};

/// Appends a number as a little-endian base-128 number.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads what [`put_varint`] wrote, below 2^32. There is one way to write a
/// number: the shortest.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Malformed`] with offsets within `bytes`.
pub(crate) fn take_varint(bytes: &[u8], at: &mut usize) -> Result<usize> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let here = *at as u64;
        let &byte = bytes.get(*at).ok_or(Error::Truncated { at: here })?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if number > u64::from(u32::MAX) {
            return Err(Error::malformed(here, "a number is too large"));
        }
        if byte == 0 && shift > 0 {
            return Err(Error::malformed(
                here,
                "a number is longer than it needs to be",
            ));
        }
        if byte & 0x80 == 0 {
            return usize::try_from(number).map_err(|_| Error::Limit("memory"));
        }
    }
    Err(Error::malformed(*at as u64 - 1, "a number is too large"))
}

/// The next `length` bytes.
///
/// # Errors
/// [`Error::Truncated`] with the offset of the end.
pub(crate) fn take<'b>(bytes: &'b [u8], at: &mut usize, length: usize) -> Result<&'b [u8]> {
    let end = at.checked_add(length).filter(|&end| end <= bytes.len());
    let end = end.ok_or(Error::Truncated {
        at: bytes.len() as u64,
    })?;
    let part = &bytes[*at..end];
    *at = end;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 28, u32::MAX as usize] {
            let mut bytes = vec![7];
            put_varint(&mut bytes, number);
            let mut at = 1;
            assert_eq!(take_varint(&bytes, &mut at).unwrap(), number);
            assert_eq!(at, bytes.len());
            bytes.pop();
            let found = take_varint(&bytes, &mut 1);
            assert!(matches!(found, Err(Error::Truncated { at }) if at == bytes.len() as u64));
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for (bytes, place) in [
            (&[0x80, 0x00][..], 1),
            (&[0x85, 0x80, 0x00], 2),
            (&[0xff, 0xff, 0xff, 0xff, 0x10], 4),
            (&[0xff, 0xff, 0xff, 0xff, 0x80, 0x00], 4),
        ] {
            let found = take_varint(bytes, &mut 0);
            assert!(
                matches!(found, Err(Error::Malformed { at, .. }) if at == place),
                "{bytes:x?}: {found:?}"
            );
        }
    }
}
