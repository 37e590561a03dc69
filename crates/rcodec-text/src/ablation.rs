//! What a part of the model is worth: parts that have no say, for measuring.
//!
//! Only with the feature `ablation`, for the example `ablate_text`. What such a
//! program writes with a part missing, no other reads.

use std::sync::LazyLock;

/// The parts that have no say, by their numbers.
pub(crate) struct Without {
    /// Contexts that are not even looked up, one bit each: as if the class had
    /// none of them, but that all are hashed.
    pub(crate) contexts: u64,
    /// Match models that neither predict nor learn, one bit each.
    pub(crate) matches: u64,
    /// Whether there are no direct probabilities.
    pub(crate) direct: bool,
    /// Inputs of the first mixers.
    pub(crate) inputs: Vec<usize>,
    /// First mixers.
    pub(crate) mixers: Vec<usize>,
    /// Maps of the last stage, in the order of `Refiner`.
    pub(crate) maps: Vec<usize>,
}

/// From the environment: `RCODEC_TEXT_WITHOUT=context:3,match:0,direct:0,input:3,mixer:0,map:1`.
pub(crate) static WITHOUT: LazyLock<Without> = LazyLock::new(|| {
    let parts = std::env::var("RCODEC_TEXT_WITHOUT").unwrap_or_default();
    let of_kind = |kind: &str| -> Vec<usize> {
        let numbers = parts.split(',').filter_map(|part| part.strip_prefix(kind));
        numbers.filter_map(|number| number.parse().ok()).collect()
    };
    let bits = |kind: &str| of_kind(kind).iter().fold(0, |bits, i| bits | 1 << (i & 63));
    Without {
        contexts: bits("context:"),
        matches: bits("match:"),
        direct: !of_kind("direct:").is_empty(),
        inputs: of_kind("input:"),
        mixers: of_kind("mixer:"),
        maps: of_kind("map:"),
    }
});

/// Silences some of these.
pub(crate) fn silence(values_q8: &mut [i16], which: &[usize]) {
    for &i in which {
        if let Some(value) = values_q8.get_mut(i) {
            *value = 0;
        }
    }
}
