//! The tensors of a model: weights, biases, shifts, tables.

use rcodec_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a tensor's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// Weights of 8 bits, -127 to 127.
    I8,
    /// Weights and activation tables.
    I16,
    /// Biases.
    I32,
    /// Shifts.
    U8,
    /// Rows of probabilities in 1/65536: 2 to 4096 positive ones that sum to
    /// 65536, then zeros up to the row's end.
    Cdf,
    /// Bytes that the codec has packed itself, stored as they are.
    Packed,
}

impl ElementType {
    /// Bytes of an element in memory.
    pub fn bytes(self) -> u64 {
        match self {
            ElementType::I8 | ElementType::U8 | ElementType::Packed => 1,
            ElementType::I16 | ElementType::Cdf => 2,
            ElementType::I32 => 4,
        }
    }
}

/// A tensor's name, type and extents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorInfo {
    /// Its name in the model.
    pub name: String,
    /// What its elements are.
    pub element: ElementType,
    /// Extents, the slowest first; 1 to 4 of them.
    pub dims: Vec<u32>,
}

impl TensorInfo {
    /// Number of elements, or an error if there is no such number.
    pub fn elements(&self) -> Result<u64> {
        self.dims
            .iter()
            .try_fold(1u64, |len, &dim| len.checked_mul(u64::from(dim)))
            .ok_or(Error::Limit("tensor size"))
    }
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorData {
    /// [`ElementType::I8`].
    I8(Vec<i8>),
    /// [`ElementType::I16`].
    I16(Vec<i16>),
    /// [`ElementType::I32`].
    I32(Vec<i32>),
    /// [`ElementType::U8`].
    U8(Vec<u8>),
    /// [`ElementType::Cdf`].
    Cdf(Vec<u16>),
    /// [`ElementType::Packed`].
    Packed(Vec<u8>),
}

impl TensorData {
    /// Their type.
    pub fn element(&self) -> ElementType {
        match self {
            TensorData::I8(_) => ElementType::I8,
            TensorData::I16(_) => ElementType::I16,
            TensorData::I32(_) => ElementType::I32,
            TensorData::U8(_) => ElementType::U8,
            TensorData::Cdf(_) => ElementType::Cdf,
            TensorData::Packed(_) => ElementType::Packed,
        }
    }

    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            TensorData::I8(values) => values.len(),
            TensorData::I16(values) => values.len(),
            TensorData::I32(values) => values.len(),
            TensorData::U8(values) => values.len(),
            TensorData::Cdf(values) => values.len(),
            TensorData::Packed(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named tensor with its elements, the last extent varying fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTensor {
    /// Name, type and extents.
    pub info: TensorInfo,
    /// The elements.
    pub data: TensorData,
}

impl ModelTensor {
    /// A tensor whose extents' product is its number of elements.
    pub fn new(name: &str, dims: &[usize], data: TensorData) -> Result<ModelTensor> {
        let dims: Option<Vec<u32>> = dims.iter().map(|&dim| u32::try_from(dim).ok()).collect();
        let info = TensorInfo {
            name: name.to_owned(),
            element: data.element(),
            dims: dims.ok_or(Error::Limit("tensor size"))?,
        };
        if info.elements()? != data.len() as u64 {
            return Err(Error::Parameter(format!(
                "tensor {name}: {} elements for extents {:?}",
                data.len(),
                info.dims
            )));
        }
        Ok(ModelTensor { info, data })
    }
}
