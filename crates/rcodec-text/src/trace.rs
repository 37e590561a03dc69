//! What the core says of texts, bit by bit: the material that a byte network
//! is trained on.

use crate::cm::ByteModel;
use crate::cm::class::{FULL_CLASS, Full};
use crate::payload::ClassId;
use crate::prior::Prior;
use rcodec_core::{Budget, Limits, Result};
use rcodec_entropy::logistic::stretch;
use rcodec_entropy::{BitCoder, Cdf};
use rcodec_model::Model as ModelFile;
use std::sync::Arc;

/// What the core says before each bit of a content: the prediction in the
/// logistic domain, Q8, of the eight bits of each byte, the highest first.
pub type Trace = Vec<[i16; 8]>;

/// Codes contents as class 2, each as the first with that prior, and writes
/// down what was predicted.
///
/// # Errors
/// Those of a prior that is none.
pub fn trace<'c>(
    contents: impl IntoIterator<Item = &'c [u8]>,
    prior: &ModelFile,
) -> Result<Vec<Trace>> {
    let prior = Arc::new(Prior::from_file(prior)?);
    let budget = Budget::new(Limits::unlimited());
    contents
        .into_iter()
        .map(|content| {
            let table_bits = ClassId::Full.table_bits(content.len());
            let mut model = Full::new(&FULL_CLASS, table_bits, Some(&prior), &budget)?;
            let mut recorder = Recorder::default();
            for (i, &byte) in content.iter().enumerate() {
                model.code(&mut recorder, byte)?;
                model.advance(&content[..=i]);
            }
            Ok(recorder.0.as_chunks().0.to_vec())
        })
        .collect()
}

/// A coder that writes probabilities down.
#[derive(Default)]
struct Recorder(Vec<i16>);

impl BitCoder for Recorder {
    const DECODES: bool = false;

    fn code_bit(&mut self, bit: bool, p1_q16: u32) -> Result<bool> {
        self.0.push(stretch(p1_q16) as i16);
        Ok(bit)
    }

    fn code_raw(&mut self, value: u32, _bits: u32) -> Result<u32> {
        Ok(value)
    }

    fn code_cdf(&mut self, symbol: u32, _cdf: &Cdf) -> Result<u32> {
        Ok(symbol)
    }

    fn position(&self) -> u64 {
        0
    }
}
