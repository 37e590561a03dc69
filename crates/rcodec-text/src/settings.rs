//! From effort and options to models and blocks.

use crate::cm::LINE_BYTES;
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
    own_table_bits: Option<u32>,
    /// The largest table that the memory allows.
    most_table_bits: u32,
    /// Bytes of every block but the last.
    pub(crate) piece_bytes: usize,
    pub(crate) priors: Priors,
    /// The language model that advises.
    pub(crate) llm: Option<ModelId>,
    /// Whether the shipped one may be asked about small contents.
    pub(crate) asks_own_lm: bool,
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
                own_table_bits: None,
                most_table_bits: *TABLE_BITS.end(),
                piece_bytes: 8 << 20,
                priors: Priors::Shipped,
                llm: None,
                asks_own_lm: false,
            },
            7..=8 => Settings {
                class: ClassId::Full,
                own_table_bits: None,
                most_table_bits: *TABLE_BITS.end(),
                piece_bytes: 32 << 20,
                priors: Priors::Shipped,
                llm: None,
                asks_own_lm: false,
            },
            _ => Settings {
                class: ClassId::Full,
                own_table_bits: None,
                most_table_bits: *TABLE_BITS.end(),
                piece_bytes: 64 << 20,
                priors: Priors::Shipped,
                llm: None,
                asks_own_lm: true,
            },
        };
        match model {
            Some(id) if rcodec_llm::registry::has(id) => {
                settings.class = ClassId::Advised;
                settings.piece_bytes = ADVISED_PIECE_BYTES;
                settings.llm = Some(id);
                settings.asks_own_lm = false;
            }
            Some(id) => settings.priors = Priors::one(id),
            None => {}
        }
        for (name, value) in options {
            match name.as_str() {
                "table_bits" => {
                    let (least, most) = (*TABLE_BITS.start(), *TABLE_BITS.end());
                    settings.own_table_bits = Some(in_range(name, *value, least, most)?);
                }
                "block_kib" => {
                    let most = (MAX_CONTENT_BYTES >> 10) as u32;
                    settings.piece_bytes = (in_range(name, *value, 1, most)? as usize) << 10;
                }
                "memory_mib" => {
                    settings.keep_to(in_range(name, *value, 16, 1 << 16)?);
                }
                "prior" => {
                    let number = in_range(name, *value, 0, SHIPPED.len() as u32)?;
                    settings.priors = match number.checked_sub(1) {
                        None => {
                            settings.asks_own_lm = false;
                            Priors::None
                        }
                        Some(i) => Priors::one(SHIPPED[i as usize]),
                    };
                }
                _ => {
                    return Err(Error::parameter(format!(
                        "the codec text has no option `{name}` (it has table_bits, block_kib, memory_mib, prior)"
                    )));
                }
            }
        }
        Ok(settings)
    }

    /// The size of the table for a piece.
    pub(crate) fn table_bits(&self, content_bytes: usize) -> u32 {
        let usual = self.class.table_bits(content_bytes);
        self.own_table_bits
            .unwrap_or(usual.min(self.most_table_bits))
    }

    /// Keeps what a model takes within so much memory, about: half for the
    /// table, a quarter for the content, the rest for everything else. Of the
    /// full class everything else is too much for a little memory.
    fn keep_to(&mut self, memory_mib: u32) {
        if memory_mib < MIN_FULL_MIB && self.class == ClassId::Full {
            self.class = ClassId::Standard;
            self.asks_own_lm = false;
        }
        self.most_table_bits = (u64::from(memory_mib) << 19).ilog2() - LINE_BYTES.ilog2();
        self.piece_bytes = self.piece_bytes.min((memory_mib as usize) << 18);
        if memory_mib < MIN_PRIMED_MIB && self.priors == Priors::Shipped {
            self.priors = Priors::None;
            self.asks_own_lm = false;
        }
    }
}

/// Bytes of a block with a language model, which takes many seconds for each.
const ADVISED_PIECE_BYTES: usize = 1 << 20;

/// With less memory than this, in MiB, the standard class takes the place of the
/// full one.
const MIN_FULL_MIB: u32 = 192;

/// With less memory than this, in MiB, no shipped prior is used.
const MIN_PRIMED_MIB: u32 = 48;

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
            Settings::new(Effort::default(), &[(name.to_string(), value)], None)
                .map(|s| s.own_table_bits)
        };
        assert_eq!(new("table_bits", 12).unwrap(), Some(12));
        let small = Settings::new(Effort::default(), &[("memory_mib".to_owned(), 16)], None);
        let small = small.unwrap();
        assert_eq!(
            (small.table_bits(1000), small.table_bits(1 << 24)),
            (12, 17)
        );
        assert_eq!((small.piece_bytes, small.priors), (4 << 20, Priors::None));
        let class = |memory_mib| {
            let options = [("memory_mib".to_owned(), memory_mib)];
            let settings = Settings::new(Effort::new(9).unwrap(), &options, None).unwrap();
            settings.class
        };
        assert_eq!(class(191), ClassId::Standard);
        assert_eq!(class(192), ClassId::Full);
        for (name, value) in [
            ("table_bits", 7),
            ("table_bits", 1 << 33),
            ("level", 3),
            ("block_kib", 0),
            ("prior", 99),
            ("memory_mib", 1),
        ] {
            assert!(
                matches!(new(name, value), Err(Error::Parameter(_))),
                "{name}"
            );
        }
    }
}
