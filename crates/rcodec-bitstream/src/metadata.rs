//! Metadata lists as bytes: a method byte, then the items (varint key, varint
//! length, value), raw or as a Zstandard frame without its magic number.

use rcodec_core::{
    Budget, Cursor, Error, Metadata, MetadataItem, MetadataKey, Reservation, Result, write_varint,
};

const RAW: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_LEVEL: i32 = 19;

/// What an item takes in memory besides its value: its place in the list, which
/// doubles when it grows, and what the allocator adds to the value.
const ITEM_BYTES: u64 = 2 * size_of::<MetadataItem>() as u64 + 16;

/// Serialises `metadata`.
pub(crate) fn write(metadata: &Metadata) -> Result<Vec<u8>> {
    let mut items = Vec::new();
    for item in &metadata.items {
        write_varint(&mut items, item.key.0);
        write_varint(&mut items, item.value.len() as u64);
        items.extend_from_slice(&item.value);
    }
    let packed = zstd::bulk::compress(&items, ZSTD_LEVEL)?;
    let frame = packed.strip_prefix(&ZSTD_MAGIC).ok_or_else(|| {
        // The library's default format begins with the magic number.
        Error::unsupported("a Zstandard library that writes other frames")
    })?;
    let mut out = Vec::new();
    let mut raw_len = Vec::new();
    write_varint(&mut raw_len, items.len() as u64);
    if frame.len() + raw_len.len() < items.len() {
        out.push(ZSTD);
        out.extend(raw_len);
        out.extend_from_slice(frame);
    } else {
        out.push(RAW);
        out.extend(items);
    }
    Ok(out)
}

/// Parses a list that begins at offset `at` of the file and appends its items.
pub(crate) fn parse(
    bytes: &[u8],
    at: u64,
    budget: &Budget,
    metadata: &mut Metadata,
) -> Result<Reservation> {
    let mut cursor = Cursor::new(bytes, at);
    match cursor.byte()? {
        RAW => {
            let reservation = reserve_items(cursor.clone(), budget)?;
            parse_items(cursor, metadata)?;
            Ok(reservation)
        }
        ZSTD => {
            let raw_len = cursor.varint()?;
            // The items once more, and the decompressor's window.
            let _working_memory = budget.reserve(raw_len.saturating_mul(3))?;
            let capacity = usize::try_from(raw_len).map_err(|_| Error::Limit("memory"))?;
            let mut frame = ZSTD_MAGIC.to_vec();
            frame.extend_from_slice(cursor.rest());
            let items =
                unpack(&frame, capacity).ok_or_else(|| cursor.malformed("compressed metadata"))?;
            // Inside the frame there are no file offsets: report its start.
            let at_start = |error| match error {
                Error::Limit(_) => error,
                _ => Error::malformed(cursor.at(), "metadata items"),
            };
            let items = Cursor::new(&items, 0);
            let reservation = reserve_items(items.clone(), budget).map_err(at_start)?;
            parse_items(items, metadata).map_err(at_start)?;
            Ok(reservation)
        }
        _ => Err(Error::malformed(at, "metadata method")),
    }
}

/// The content of `frame`, if it is exactly `len` bytes long. Grows with what
/// really comes out, not with what the frame claims.
fn unpack(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut items = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)
        .ok()?
        .single_frame();
    // An encoder that knows the length takes no larger window.
    let window_log = usize::BITS - len.saturating_sub(1).leading_zeros();
    decoder.window_log_max(window_log.clamp(10, 31)).ok()?;
    (&mut decoder)
        .take(len as u64 + 1)
        .read_to_end(&mut items)
        .ok()?;
    let rest = decoder.finish();
    (items.len() == len && rest.is_empty()).then_some(items)
}

/// Charges what [`parse_items`] will take: many items may be empty, so each
/// costs something of its own.
fn reserve_items(mut cursor: Cursor<'_>, budget: &Budget) -> Result<Reservation> {
    let mut bytes = 0;
    while !cursor.rest().is_empty() {
        cursor.varint()?;
        let len = cursor.varint()?;
        bytes += cursor.take(len)?.len() as u64 + ITEM_BYTES;
    }
    budget.reserve(bytes)
}

fn parse_items(mut cursor: Cursor<'_>, metadata: &mut Metadata) -> Result<()> {
    while !cursor.rest().is_empty() {
        let key = MetadataKey(cursor.varint()?);
        let len = cursor.varint()?;
        let value = cursor.take(len)?.to_vec();
        metadata.items.push(MetadataItem { key, value });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcodec_core::Limits;

    fn parse_all(bytes: &[u8]) -> Result<Metadata> {
        let mut metadata = Metadata::default();
        let budget = Budget::new(Limits {
            max_alloc_bytes: 1 << 20,
            ..Limits::default()
        });
        let _memory = parse(bytes, 0, &budget, &mut metadata)?;
        Ok(metadata)
    }

    proptest! {
        #[test]
        fn round_trip(items in proptest::collection::vec((any::<u64>(), 0usize..300, any::<u8>()), 0..6)) {
            let mut metadata = Metadata::default();
            for (key, len, byte) in items {
                metadata.push(MetadataKey(key), vec![byte; len]);
            }
            let bytes = write(&metadata).unwrap();
            prop_assert_eq!(parse_all(&bytes).unwrap(), metadata);
        }

        #[test]
        fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_all(&bytes);
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        let mut bytes = vec![ZSTD];
        write_varint(&mut bytes, 64 << 20);
        bytes.extend_from_slice(&bomb[4..]);
        assert!(matches!(parse_all(&bytes), Err(Error::Limit(_))));
        // A false length does not help.
        let mut bytes = vec![ZSTD, 100];
        bytes.extend_from_slice(&bomb[4..]);
        assert!(matches!(parse_all(&bytes), Err(Error::Malformed { .. })));
    }
}
