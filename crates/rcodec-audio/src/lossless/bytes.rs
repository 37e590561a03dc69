//! Signed numbers of block headers.

use rcodec_core::{Cursor, Result, write_varint};
use rcodec_entropy::{unzigzag, zigzag};

/// Appends a signed number.
pub(crate) fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_varint(out, zigzag(value));
}

/// Reads what [`write_signed`] wrote.
pub(crate) fn read_signed(reader: &mut Cursor) -> Result<i64> {
    Ok(unzigzag(reader.varint()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let values = [0, 1, -1, 63, -64, 64, 1 << 40, i64::MAX, i64::MIN];
        let mut bytes = Vec::new();
        for value in values {
            write_signed(&mut bytes, value);
        }
        let mut reader = Cursor::new(&bytes, 0);
        for value in values {
            assert_eq!(read_signed(&mut reader).unwrap(), value);
        }
        assert!(reader.rest().is_empty());
    }
}
