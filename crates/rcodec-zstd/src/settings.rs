//! From effort and options to what Zstandard is told.

use crate::payload::WINDOW_LOGS;
use rcodec_core::{Effort, Error, MAX_BLOCK_BYTES, Result};

/// Everything that decides what is encoded, but for the bytes and the
/// dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Zstandard's compression level.
    pub(crate) level: i32,
    /// The level of short pieces, at least `level`.
    short_level: i32,
    /// Window as a power of two, at most; short pieces have shorter ones.
    pub(crate) window_log: u32,
    /// Whether to look for long matches far away.
    pub(crate) long: bool,
    /// Bytes of every piece but the last.
    pub(crate) piece_bytes: usize,
}

/// The level of an effort for long pieces and for short ones. Long: efforts
/// double or triple their time from step to step; 5 is where text still goes
/// through at some 30 MB/s a core. Short: nobody waits for them, so those take
/// a level that is 5% smaller and, at 256 KiB, still a tenth of a second.
const LEVELS_OF_EFFORT: [(i32, i32); 9] = [
    (1, 1),
    (3, 3),
    (5, 9),
    (8, 12),
    (11, 16),
    (16, 18),
    (18, 19),
    (19, 19),
    (22, 22),
];

/// Fast, and still sees what entropy coding alone would gain.
const PROBE_LEVEL: i32 = 1;

/// Up to this length a piece is short: Zstandard has other parameters for
/// those, too.
const SHORT_BYTES: usize = 256 << 10;

/// Levels that only trade ratio for even more speed are cut off here.
const MIN_LEVEL: i64 = -100;
const MAX_LEVEL: i64 = 22;

/// What `long=1` stands for, as in the program `zstd`.
const DEFAULT_LONG_LOG: i64 = 27;

impl Settings {
    /// The settings of an effort, changed by options.
    ///
    /// # Errors
    /// [`Error::Parameter`] for unknown names and for values out of range.
    pub(crate) fn new(effort: Effort, options: &[(String, i64)]) -> Result<Self> {
        let (mut level, mut short_level) = LEVELS_OF_EFFORT[usize::from(effort.get()) - 1];
        let mut window_log = None;
        let mut long_log = None;
        for (name, value) in options {
            match name.as_str() {
                "level" if *value == 0 => {
                    return Err(Error::parameter("level 0 is not in -100..-1 and 1..22"));
                }
                "level" => {
                    level = in_range(name, *value, MIN_LEVEL, MAX_LEVEL)? as i32;
                    short_level = level;
                }
                "window_log" => window_log = Some(window_of(name, *value)?),
                "long" if *value == 0 => long_log = None,
                "long" if *value == 1 => long_log = Some(window_of(name, DEFAULT_LONG_LOG)?),
                "long" => long_log = Some(window_of(name, *value)?),
                _ => {
                    return Err(Error::parameter(format!(
                        "the codec zstd has no option `{name}` (it has level, window_log, long)"
                    )));
                }
            }
        }
        let own_piece_log = piece_log(level);
        let window = window_log.or(long_log).unwrap_or(own_piece_log);
        Ok(Settings {
            level,
            short_level,
            window_log: window,
            long: long_log.is_some(),
            piece_bytes: (1usize << window.max(own_piece_log)).min(MAX_PIECE_BYTES),
        })
    }

    /// Settings of a quick look at whether bytes shrink at all.
    pub(crate) fn probe(self) -> Self {
        Settings {
            level: PROBE_LEVEL,
            short_level: PROBE_LEVEL,
            ..self
        }
    }

    /// The settings for a piece of this length.
    pub(crate) fn for_piece(self, piece_bytes: usize) -> Self {
        if piece_bytes > SHORT_BYTES {
            return self;
        }
        Settings {
            level: self.short_level,
            ..self
        }
    }

    /// An upper estimate of the memory that compressing `piece_bytes` takes
    /// beside the piece and its output, in bytes.
    pub(crate) fn context_bytes(&self, piece_bytes: usize) -> u64 {
        // Tables of chains and hashes for pieces without end, measured.
        let tables_mib = match self.level {
            ..=4 => 2,
            5..=8 => 6,
            9 => 11,
            10..=11 => 21,
            12 => 41,
            13..=16 => 65,
            17..=18 => 49,
            19 => 81,
            20 => 161,
            21 => 321,
            _ => 641,
        };
        let piece_bytes = (piece_bytes as u64).next_power_of_two();
        let long_bytes = if self.long {
            piece_bytes / 8 + (1 << 20)
        } else {
            0
        };
        // The tables of short pieces are at most twice as many entries each
        // as the piece has bytes.
        (tables_mib << 20).min(piece_bytes.saturating_mul(16)) + long_bytes + (3 << 20)
    }
}

/// A raw piece and its marker still fit a block.
const MAX_PIECE_BYTES: usize = MAX_BLOCK_BYTES - (1 << 20);

/// Size of a level's pieces, as a power of two. The window is as large: matches
/// reach back to the piece's beginning, so that pieces lose nothing inside.
fn piece_log(level: i32) -> u32 {
    match level {
        ..=15 => 23,
        16..=18 => 24,
        19 => 25,
        _ => 26,
    }
}

fn window_of(name: &str, value: i64) -> Result<u32> {
    let (min, max) = (*WINDOW_LOGS.start(), *WINDOW_LOGS.end());
    in_range(name, value, min.into(), max.into()).map(|log| log as u32)
}

fn in_range(name: &str, value: i64, min: i64, max: i64) -> Result<i64> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(Error::parameter(format!(
            "{name} {value} is not in {min}..{max}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, i64)]) -> Result<Settings> {
        let options: Vec<_> = options.iter().map(|&(n, v)| (n.to_string(), v)).collect();
        Settings::new(Effort::default(), &options)
    }

    #[test]
    fn efforts_rise() {
        assert!(LEVELS_OF_EFFORT.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        assert!(LEVELS_OF_EFFORT.iter().all(|(long, short)| long <= short));
        let default = settings(&[]).unwrap();
        assert_eq!(
            default.for_piece(SHORT_BYTES + 1).level,
            LEVELS_OF_EFFORT[4].0
        );
        assert_eq!(default.for_piece(SHORT_BYTES).level, LEVELS_OF_EFFORT[4].1);
    }

    #[test]
    fn options_override_the_effort() {
        let with_level = settings(&[("level", 19)]).unwrap();
        assert_eq!((with_level.level, with_level.piece_bytes), (19, 32 << 20));
        let fast = settings(&[("level", -5)]).unwrap();
        assert_eq!((fast.level, fast.for_piece(10).level), (-5, -5));
        let long = settings(&[("long", 1)]).unwrap();
        assert_eq!(
            (long.window_log, long.long, long.piece_bytes),
            (27, true, 128 << 20)
        );
        let short = settings(&[("window_log", 16)]).unwrap();
        assert_eq!((short.window_log, short.piece_bytes), (16, 8 << 20));
        let longest = settings(&[("long", 30)]).unwrap();
        assert!(longest.piece_bytes < MAX_BLOCK_BYTES);
        assert!(!settings(&[("long", 0)]).unwrap().long);
    }

    #[test]
    fn bad_options_are_named() {
        for (name, value) in [
            ("level", 0),
            ("level", 23),
            ("level", i64::MIN),
            ("window_log", 9),
            ("window_log", 31),
            ("long", 31),
            ("long", -1),
            ("levle", 1),
        ] {
            let error = settings(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
