//! Looking at tensors as what a node needs.

use super::{Fault, is_weight};
use crate::model::Tensors;
use crate::tensor::{ModelTensor, TensorData};

/// The tensor of that name.
pub(crate) fn tensor_of<'t>(tensors: &'t Tensors, name: &str) -> Result<&'t ModelTensor, Fault> {
    tensors
        .get(name)
        .ok_or(Fault::new("there is no such tensor"))
}

/// The `i16` elements of a tensor and its extents.
pub(crate) fn words_of<'t>(
    tensors: &'t Tensors,
    name: &str,
) -> Result<(&'t [u32], &'t [i16]), Fault> {
    let tensor = tensor_of(tensors, name)?;
    match &tensor.data {
        TensorData::I16(values) => Ok((&tensor.info.dims, values)),
        _ => Err(Fault::new("a tensor that is not of 16 bits")),
    }
}

/// Weights of either width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'t> {
    /// Extents.
    pub(crate) dims: &'t [u32],
    data: &'t TensorData,
}

impl<'t> Weights<'t> {
    /// The weights of that name.
    pub(crate) fn of(tensors: &'t Tensors, name: &str) -> Result<Weights<'t>, Fault> {
        let tensor = tensor_of(tensors, name)?;
        if !is_weight(tensor.data.element()) {
            return Err(Fault::new("weights that are not of 8 or 16 bits"));
        }
        Ok(Weights {
            dims: &tensor.info.dims,
            data: &tensor.data,
        })
    }

    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether they have 8 bits.
    pub(crate) fn bytes(&self) -> Option<&'t [i8]> {
        match self.data {
            TensorData::I8(values) => Some(values),
            _ => None,
        }
    }

    /// Every `step`-th of the weights `start..end`.
    pub(crate) fn part(
        &self,
        start: usize,
        end: usize,
        step: usize,
    ) -> Box<dyn Iterator<Item = i16> + 't> {
        match self.data {
            TensorData::I8(values) => Box::new(
                values[start..end]
                    .iter()
                    .step_by(step)
                    .map(|&value| i16::from(value)),
            ),
            TensorData::I16(values) => Box::new(values[start..end].iter().step_by(step).copied()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// All of them, widened.
    pub(crate) fn to_words(self) -> Vec<i16> {
        self.part(0, self.len(), 1).collect()
    }
}
