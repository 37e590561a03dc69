//! A model in memory.

use crate::check::{self, Fault, GraphInfo};
use crate::graph::Graph;
use crate::record::Record;
use crate::tensor::{ElementType, ModelTensor, TensorData};
use rcodec_core::{Error, Limits, ModelId, Reservation, Result};
use rcodec_entropy::Cdf;
use std::collections::BTreeMap;

/// Everything that a model is, as plain data: what an exporter puts together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelData {
    /// Name and training record.
    pub record: Record,
    /// Numbers that belong to the codec, by name: how many steps, which scale.
    pub parameters: BTreeMap<String, i64>,
    /// The networks.
    pub graphs: Vec<Graph>,
    /// Weights, biases, shifts, tables.
    pub tensors: Tensors,
}

/// The tensors of a model, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tensors(BTreeMap<String, ModelTensor>);

impl Tensors {
    /// Adds a tensor.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is one of that name.
    pub fn insert(&mut self, tensor: ModelTensor) -> Result<()> {
        let name = tensor.info.name.clone();
        if self.0.contains_key(&name) {
            return Err(Error::Parameter(format!("two tensors named {name}")));
        }
        self.0.insert(name, tensor);
        Ok(())
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&ModelTensor> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &ModelTensor> {
        self.0.values()
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Elements of all tensors.
    pub fn elements(&self) -> u64 {
        self.iter().map(|tensor| tensor.data.len() as u64).sum()
    }
}

/// A checked model: everything its graphs rely on has been proven.
#[derive(Debug)]
pub struct Model {
    data: ModelData,
    infos: Vec<GraphInfo>,
    id: ModelId,
    /// The memory of the tensors, charged, if the model was loaded.
    _reservation: Option<Reservation>,
}

impl Model {
    /// Puts checked parts together.
    pub(crate) fn from_parts(
        data: ModelData,
        id: ModelId,
        limits: &Limits,
        reservation: Option<Reservation>,
    ) -> Result<Model, Fault> {
        let infos = check::check_model(&data, limits)?;
        Ok(Model {
            data,
            infos,
            id,
            _reservation: reservation,
        })
    }

    /// The first eight bytes of its hash.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// Its name, as in `image-lossy-s1-9f3c`.
    pub fn name(&self) -> String {
        self.data.record.model_name(self.id)
    }

    /// Its parts.
    pub fn data(&self) -> &ModelData {
        &self.data
    }

    /// Name and training record.
    pub fn record(&self) -> &Record {
        &self.data.record
    }

    /// The graph of that name and what is known of its values.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is none: the model is not of the kind
    /// that the codec takes it for.
    pub fn graph(&self, name: &str) -> Result<(&Graph, &GraphInfo)> {
        let mut graphs = self.data.graphs.iter().zip(&self.infos);
        graphs
            .find(|(graph, _)| graph.name == name)
            .ok_or_else(|| self.lacks("graph", name))
    }

    /// The graphs and what is known of their values.
    pub fn graphs(&self) -> impl Iterator<Item = (&Graph, &GraphInfo)> {
        self.data.graphs.iter().zip(&self.infos)
    }

    /// A codec's number.
    ///
    /// # Errors
    /// As [`Model::graph`].
    pub fn parameter(&self, name: &str) -> Result<i64> {
        let value = self.data.parameters.get(name).copied();
        value.ok_or_else(|| self.lacks("parameter", name))
    }

    /// A tensor, for codecs that use some directly.
    ///
    /// # Errors
    /// As [`Model::graph`].
    pub fn tensor(&self, name: &str) -> Result<&ModelTensor> {
        let tensor = self.data.tensors.get(name);
        tensor.ok_or_else(|| self.lacks("tensor", name))
    }

    /// The probability tables of a tensor, one for each row (all extents but
    /// the last).
    ///
    /// # Errors
    /// As [`Model::graph`].
    pub fn cdfs(&self, name: &str) -> Result<Vec<Cdf>> {
        let tensor = self.tensor(name)?;
        let TensorData::Cdf(values) = &tensor.data else {
            return Err(self.lacks("probability tables", name));
        };
        let symbols = tensor.info.dims.last().map_or(1, |&dim| dim as usize);
        values.chunks_exact(symbols).map(cdf_of_row).collect()
    }

    fn lacks(&self, what: &str, name: &str) -> Error {
        Error::Unsupported(format!("model {} has no {what} {name}", self.name()))
    }
}

/// The table of a row of probabilities that has been checked.
fn cdf_of_row(row: &[u16]) -> Result<Cdf> {
    let mut cumulative = vec![0u32];
    let mut sum = 0;
    for &probability in row.iter().take_while(|&&probability| probability > 0) {
        sum += u32::from(probability);
        cumulative.push(sum);
    }
    Cdf::from_cumulative(&cumulative)
}

/// The probabilities of tables as one tensor, rows padded with zeros.
///
/// # Errors
/// [`Error::Parameter`] for a table of one symbol, which needs no coding.
pub fn cdf_tensor(name: &str, tables: &[Cdf]) -> Result<ModelTensor> {
    let symbols = tables.iter().map(Cdf::len).max().unwrap_or(0);
    let mut values = Vec::new();
    for table in tables {
        if table.len() < 2 {
            return Err(Error::Parameter(format!("{name}: a table of one symbol")));
        }
        let row = (0..symbols as u32).map(|symbol| {
            let is_inside = (symbol as usize) < table.len();
            if is_inside {
                table.probability(symbol) as u16
            } else {
                0
            }
        });
        values.extend(row);
    }
    ModelTensor::new(name, &[tables.len(), symbols], TensorData::Cdf(values))
}

impl ElementType {
    /// No elements of this type.
    pub(crate) fn empty(self) -> TensorData {
        match self {
            ElementType::I8 => TensorData::I8(Vec::new()),
            ElementType::I16 => TensorData::I16(Vec::new()),
            ElementType::I32 => TensorData::I32(Vec::new()),
            ElementType::U8 => TensorData::U8(Vec::new()),
            ElementType::Cdf => TensorData::Cdf(Vec::new()),
            ElementType::Packed => TensorData::Packed(Vec::new()),
        }
    }
}
