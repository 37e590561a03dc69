//! From effort and options to models and blocks.

use crate::payload::{ClassId, MAX_CONTENT_BYTES, TABLE_BITS};
use crate::prior::{OWN_NUMBER, SHIPPED};
use rcodec_core::{Effort, Error, ModelId, Result};

/// Which priors an encoder may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priors {
    /// None.
    None,
    /// The one of the shipped ones that fits best, if it gains.
    Shipped,
    /// This one, if it gains.
    One { number: u8, id: ModelId },
}

impl Priors {
    /// The prior that somebody asked for.
    fn one(id: ModelId) -> Self {
        let shipped = SHIPPED.iter().position(|&shipped| shipped == id);
        let number = shipped.map_or(OWN_NUMBER, |i| i as u8 + 1);
        Priors::One { number, id }
    }
}

/// Everything that decides what is encoded, but for the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) class: ClassId,
    /// The table's size, if it is not to follow from the content's.
    pub(crate) table_bits: Option<u32>,
    /// Bytes of every block but the last.
    pub(crate) piece_bytes: usize,
    pub(crate) priors: Priors,
}

impl Settings {
    /// The settings of an effort, changed by options.
    ///
    /// # Errors
    /// [`Error::Parameter`] for unknown names and for values out of range.
    pub(crate) fn new(
        effort: Effort,
        options: &[(String, i64)],
        model: Option<ModelId>,
    ) -> Result<Self> {
        let mut settings = match effort.get() {
            ..=6 => Settings {
                class: ClassId::Standard,
                table_bits: None,
                piece_bytes: 8 << 20,
                priors: Priors::Shipped,
            },
            7..=8 => Settings {
                class: ClassId::Full,
                table_bits: None,
                piece_bytes: 32 << 20,
                priors: Priors::Shipped,
            },
            _ => Settings {
                class: ClassId::Full,
                table_bits: None,
                piece_bytes: 64 << 20,
                priors: Priors::Shipped,
            },
        };
        if let Some(id) = model {
            settings.priors = Priors::one(id);
        }
        for (name, value) in options {
            match name.as_str() {
                "table_bits" => {
                    let (least, most) = (*TABLE_BITS.start(), *TABLE_BITS.end());
                    settings.table_bits = Some(in_range(name, *value, least, most)?);
                }
                "block_kib" => {
                    let most = (MAX_CONTENT_BYTES >> 10) as u32;
                    settings.piece_bytes = (in_range(name, *value, 1, most)? as usize) << 10;
                }
                "prior" => {
                    let number = in_range(name, *value, 0, SHIPPED.len() as u32)?;
                    settings.priors = match number.checked_sub(1) {
                        None => Priors::None,
                        Some(i) => Priors::one(SHIPPED[i as usize]),
                    };
                }
                _ => {
                    return Err(Error::parameter(format!(
                        "the codec text has no option `{name}` (it has table_bits, block_kib, prior)"
                    )));
                }
            }
        }
        Ok(settings)
    }
}

fn in_range(name: &str, value: i64, least: u32, most: u32) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| Error::parameter(format!("{name} {value} is not in {least}..{most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let new = |name: &str, value| {
            Settings::new(Effort::default(), &[(name.to_string(), value)], None).map(|s| s.table_bits)
        };
        assert_eq!(new("table_bits", 12).unwrap(), Some(12));
        for (name, value) in [
            ("table_bits", 7),
            ("table_bits", 1 << 33),
            ("level", 3),
            ("block_kib", 0),
            ("prior", 99),
        ] {
            assert!(
                matches!(new(name, value), Err(Error::Parameter(_))),
                "{name}"
            );
        }
    }
}
