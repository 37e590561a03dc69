//! What stands in a block: section 7.4 of FORMAT.md.
//!
//! ```text
//! payload = u8(class | own_table_bits << 3 | snapshot << 4) rest
//! class 0 : rest is the content as it is (no other bits set)
//! class n : rest = varint(content bytes) [u8(table bits)] range coder's bytes
//! ```

use rcodec_core::{Cursor, Error, Result, write_varint};

/// The longest content of a block, in bytes.
pub(crate) const MAX_CONTENT_BYTES: usize = 64 << 20;

/// Sizes that the hash table of a model can have, as powers of two in lines.
pub(crate) const TABLE_BITS: std::ops::RangeInclusive<u32> = 8..=24;

/// The class of models that a block was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassId {
    /// [`STANDARD_CLASS`](crate::cm::class::STANDARD_CLASS).
    Standard,
    /// [`FULL_CLASS`](crate::cm::class::FULL_CLASS).
    Full,
    /// The same, advised by the language model that the header names.
    Advised,
    /// The same, advised by the shipped language model
    /// ([`own_lm`](crate::own_lm)).
    Fluent,
}

impl ClassId {
    fn number(self) -> u8 {
        match self {
            ClassId::Standard => 1,
            ClassId::Full => 2,
            ClassId::Advised => 3,
            ClassId::Fluent => 4,
        }
    }

    fn from_number(number: u8) -> Result<Self> {
        match number {
            1 => Ok(ClassId::Standard),
            2 => Ok(ClassId::Full),
            3 => Ok(ClassId::Advised),
            4 => Ok(ClassId::Fluent),
            _ => Err(Error::unsupported(
                "a text model of a later version of the program",
            )),
        }
    }

    /// The largest table that this class takes for so much content unless told
    /// otherwise: a long content needs memory for itself.
    fn most_table_bits(self, content_bytes: usize) -> u32 {
        match self {
            ClassId::Standard => 18,
            ClassId::Full | ClassId::Advised | ClassId::Fluent if content_bytes <= 1 << 21 => 22,
            ClassId::Full | ClassId::Advised | ClassId::Fluent => 21,
        }
    }

    /// The longest content that begins with a prior: for longer ones it would
    /// gain little, and take memory from the table.
    pub(crate) fn most_primed_bytes(self) -> usize {
        match self {
            ClassId::Standard => 1 << 20,
            ClassId::Full | ClassId::Advised | ClassId::Fluent => 8 << 20,
        }
    }

    /// The size of the table for this much content, where the payload does not
    /// say another: four lines for each byte, within limits.
    pub(crate) fn table_bits(self, content_bytes: usize) -> u32 {
        let bits = content_bytes.max(1).next_power_of_two().ilog2() + 2;
        bits.clamp(*TABLE_BITS.start(), self.most_table_bits(content_bytes))
    }
}

/// The head of a payload that a model made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) class: ClassId,
    /// The snapshot that the model begins with; 0 for none.
    pub(crate) snapshot: u8,
    pub(crate) table_bits: u32,
    pub(crate) content_bytes: usize,
}

/// A payload, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// The content as it is.
    Stored(&'a [u8]),
    /// What the range coder wrote.
    Modelled {
        head: Head,
        coded: &'a [u8],
        /// Where `coded` begins in the payload.
        coded_at: u64,
    },
}

impl Form<'_> {
    /// Bytes of the content.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Form::Stored(content) => content.len() as u64,
            Form::Modelled { head, .. } => head.content_bytes as u64,
        }
    }
}

/// How many bytes come out of a block, by the first bytes of its payload (six or
/// more, or all) and the payload's length: for readers that step over blocks.
///
/// # Errors
/// As decoding, if that cannot be told.
pub fn content_bytes(start: &[u8], payload_bytes: u64) -> Result<u64> {
    match parse(start)? {
        // The start may be cut.
        Form::Stored(_) => Ok(payload_bytes.saturating_sub(1)),
        Form::Modelled { head, .. } => Ok(head.content_bytes as u64),
    }
}

/// The first byte of a payload that is the content as it is.
pub(crate) const STORED: u8 = 0;

const OWN_TABLE_BITS: u8 = 8;

impl Head {
    /// Writes the head.
    pub(crate) fn write(&self, payload: &mut Vec<u8>) {
        let is_own = self.table_bits != self.class.table_bits(self.content_bytes);
        let own = if is_own { OWN_TABLE_BITS } else { 0 };
        payload.push(self.class.number() | own | self.snapshot << 4);
        write_varint(payload, self.content_bytes as u64);
        if is_own {
            payload.push(self.table_bits as u8);
        }
    }
}

/// The payload of content that no model makes smaller.
pub(crate) fn stored(content: &[u8]) -> Vec<u8> {
    [&[STORED][..], content].concat()
}

/// Understands a payload. Offsets in errors are those within it.
pub(crate) fn parse(payload: &[u8]) -> Result<Form<'_>> {
    let Some((&first, rest)) = payload.split_first() else {
        return Err(Error::Truncated { at: 0 });
    };
    if first & 7 == 0 {
        if first != STORED {
            return Err(Error::malformed(0, "a stored block with a model"));
        }
        return Ok(Form::Stored(rest));
    }
    let class = ClassId::from_number(first & 7)?;
    let mut cursor = Cursor::new(rest, 1);
    let range = 1..=MAX_CONTENT_BYTES as u64;
    let content_bytes = cursor.varint_in(range, "length of a block's content")? as usize;
    let mut table_bits = class.table_bits(content_bytes);
    if first & OWN_TABLE_BITS != 0 {
        let at = cursor.at();
        let own = u32::from(cursor.byte()?);
        if !TABLE_BITS.contains(&own) || own == table_bits {
            return Err(Error::malformed(at, "size of the model's table"));
        }
        table_bits = own;
    }
    Ok(Form::Modelled {
        head: Head {
            class,
            snapshot: first >> 4,
            table_bits,
            content_bytes,
        },
        coded: cursor.rest(),
        coded_at: cursor.at(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_come_back(
            content_bytes in 1..=MAX_CONTENT_BYTES,
            own in proptest::option::of(TABLE_BITS),
            class in prop::sample::select(vec![ClassId::Standard, ClassId::Full, ClassId::Advised, ClassId::Fluent]),
            snapshot in 0u8..16,
        ) {
            let table_bits = own.unwrap_or(class.table_bits(content_bytes));
            let head = Head { class, snapshot, table_bits, content_bytes };
            let mut payload = Vec::new();
            head.write(&mut payload);
            payload.extend([1, 2, 3]);
            prop_assert_eq!(parse(&payload).unwrap(), Form::Modelled { head, coded: &[1, 2, 3], coded_at: payload.len() as u64 - 3 });
        }

        #[test]
        fn any_bytes_are_understood_or_refused(payload in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(Form::Modelled { head, .. }) = parse(&payload) {
                prop_assert!(TABLE_BITS.contains(&head.table_bits));
                prop_assert!(head.content_bytes <= MAX_CONTENT_BYTES);
            }
        }
    }

    #[test]
    fn damaged_heads_say_where() {
        for (payload, at) in [
            (&[0x10][..], 0),
            (&[1, 0], 1),
            (&[1, 0x80, 0], 2),
            (&[1, 0xff, 0xff, 0xff, 0x7f], 1),
            (&[9, 5, 99], 2),
        ] {
            let error = parse(payload).unwrap_err();
            assert!(
                matches!(error, Error::Malformed { at: found, .. } if found == at),
                "{payload:?}: {error}"
            );
        }
        assert!(matches!(parse(&[5, 1]), Err(Error::Unsupported(_))));
        assert!(matches!(parse(&[]), Err(Error::Truncated { at: 0 })));
        assert!(matches!(parse(&[1, 0x80]), Err(Error::Truncated { at: 2 })));
    }
}
