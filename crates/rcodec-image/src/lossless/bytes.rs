//! Numbers and streams within a payload.

use rcodec_core::{Cursor, Error, Result, write_varint};

/// Appends a number as a little-endian base-128 number.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, number: usize) {
    write_varint(bytes, number as u64);
}

/// Reads what [`put_varint`] wrote, below 2^32.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Malformed`] with offsets within `bytes`.
pub(crate) fn take_varint(bytes: &[u8], at: &mut usize) -> Result<usize> {
    let mut cursor = Cursor::new(&bytes[*at..], *at as u64);
    let number = cursor.varint_in(0..=u32::MAX.into(), "a number is too large")?;
    *at = bytes.len() - cursor.rest().len();
    usize::try_from(number).map_err(|_| Error::Limit("memory"))
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
        let too_large = [7, 0xff, 0xff, 0xff, 0xff, 0x10];
        let found = take_varint(&too_large, &mut 1);
        assert!(matches!(found, Err(Error::Malformed { at: 1, .. })));
    }
}
