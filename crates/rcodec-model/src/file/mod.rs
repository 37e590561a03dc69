//! The model file, version 1; `MODEL-FORMAT.md` beside this crate's manifest
//! is the specification.
//!
//! ```text
//! magic version │ BLAKE3 of all the rest │ manifest (JSON) │ tables │ streams of elements
//! ```
//!
//! Reading believes nothing: the hash first, then the manifest's claims against
//! the size of the file and the caller's budget, then the elements, then the
//! checks of [`check`](crate::check).

mod text;
mod weights;

use crate::check::{self, Fault};
use crate::graph::Graph;
use crate::model::{Model, ModelData, Tensors};
use crate::record::Record;
use crate::tensor::{ElementType, ModelTensor, TensorData, TensorInfo};
use rayon::prelude::*;
use rcodec_core::{Budget, Cursor, Error, Limits, ModelId, Result, write_varint};
use rcodec_entropy::{AnsDecoder, AnsEncoder, RangeBitDecoder, RangeBitEncoder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weights::{Coder, Counts, Tables};

/// The first three bytes of a model file; like the container's, they begin no
/// text.
pub const MAGIC: [u8; 3] = [0xf7, b'm', 0x1a];
/// The version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u8 = 1;
/// The extension of model files.
pub const EXTENSION: &str = "rcm";
/// Bytes before the manifest: magic, version, hash.
pub const HEAD_BYTES: usize = 4 + HASH_BYTES;

const HASH_BYTES: usize = 32;
/// The longest manifest.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;
/// A manifest is at most this many times longer than its coded form.
const MAX_MANIFEST_RATIO: u64 = 256;
/// Elements may take this many times the bytes of the file …
const MAX_ELEMENT_RATIO: u64 = 32;
/// … and this many more.
const FREE_ELEMENT_BYTES: u64 = 1 << 20;
/// What the tables of elements take.
const TABLES_BYTES: u64 = 1 << 16;
/// Tensors with at least so many elements have a stream of their own.
const OWN_STREAM_ELEMENTS: u64 = 4096;

/// Everything of a model but the elements: what the file has as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    record: Record,
    #[serde(default)]
    parameters: BTreeMap<String, i64>,
    graphs: Vec<Graph>,
    /// In the order of their names.
    tensors: Vec<TensorInfo>,
}

/// What a file says of itself, its tensors not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The first eight bytes of the hash.
    pub id: ModelId,
    /// Name and training record.
    pub record: Record,
    /// Names of the graphs.
    pub graphs: Vec<String>,
    /// Elements of all tensors.
    pub elements: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// The id of a model file that begins with `head`, which nobody has checked:
/// enough to see whether a file is the one looked for.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Unsupported`] or [`Error::Truncated`] if no
/// file of a known version begins so.
pub fn peek_id(head: &[u8]) -> Result<ModelId> {
    let mut cursor = Cursor::new(head, 0);
    read_hash(&mut cursor).map(|hash| id_of(&hash))
}

impl ModelData {
    /// Checks the model and writes its file.
    ///
    /// # Errors
    /// [`Error::Parameter`] or [`Error::Limit`] for a model that [`Model::read`]
    /// would refuse.
    pub fn write(&self) -> Result<Vec<u8>> {
        check::check_model(self, &Limits::unlimited())?;
        self.encode()
    }

    /// Writes the file of a model that has been checked.
    fn encode(&self) -> Result<Vec<u8>> {
        let manifest = Manifest {
            record: self.record.clone(),
            parameters: self.parameters.clone(),
            graphs: self.graphs.clone(),
            tensors: self
                .tensors
                .iter()
                .map(|tensor| tensor.info.clone())
                .collect(),
        };
        let json = serde_json::to_vec(&manifest)
            .map_err(|error| Error::Parameter(format!("model record: {error}")))?;
        let coded = text::compress(&json)?;
        let mut body = Vec::new();
        write_varint(&mut body, json.len() as u64);
        write_varint(&mut body, coded.len() as u64);
        body.extend_from_slice(&coded);
        let tensors: Vec<&ModelTensor> = self.tensors.iter().collect();
        if let Some(tensor) = tensors
            .iter()
            .find(|tensor| !weights::is_storable(&tensor.data))
        {
            return Err(Error::Parameter(format!(
                "tensor {}: an element of -2^31",
                tensor.info.name
            )));
        }
        for payload in encode_tensors(&streams(&manifest.tensors)?, &tensors)? {
            write_varint(&mut body, payload.len() as u64);
            body.extend_from_slice(&payload);
        }
        Ok(with_head(&body))
    }

    /// Writes the file and reads it again: the model as everyone else gets it,
    /// and the file's bytes.
    ///
    /// # Errors
    /// As [`ModelData::write`].
    pub fn build(&self) -> Result<(Model, Vec<u8>)> {
        let file = self.write()?;
        let model = Model::read(&file, &Budget::new(Limits::unlimited()))?;
        Ok((model, file))
    }
}

impl Model {
    /// Reads a model file and checks everything.
    ///
    /// # Errors
    /// [`Error::Checksum`] (of block 0) if the bytes are not those that were
    /// written; [`Error::Malformed`] or [`Error::Truncated`] if they are no
    /// model, [`Error::Unsupported`] for a later version; [`Error::Limit`] if
    /// the model is larger than `budget` allows.
    pub fn read(file: &[u8], budget: &Budget) -> Result<Model> {
        check_hash(file)?;
        let Opened {
            id,
            manifest,
            manifest_at,
            mut body,
        } = open(file, budget)?;
        let bytes = claimed_bytes(&manifest.tensors, file.len() as u64, budget.limits())
            .map_err(|fault| fault_in_file(fault, manifest_at))?;
        let reservation = budget.reserve(bytes)?;
        let _tables = budget.reserve(TABLES_BYTES)?;
        let tables = if has_tables(&manifest.tensors) {
            let len = body.varint()?;
            let at = body.at();
            decode_tables(body.take(len)?).map_err(|error| error.offset_by(at))?
        } else {
            Tables::default()
        };
        let streams = streams(&manifest.tensors)?;
        let mut payloads = Vec::new();
        for stream in &streams {
            let bytes = body.varint()?;
            payloads.push((stream, body.at(), body.take(bytes)?));
        }
        body.expect_end("bytes after the last tensor")?;
        let decoded: Result<Vec<Vec<(usize, TensorData)>>> = payloads
            .into_par_iter()
            .map(|(stream, at, payload)| {
                decode_stream(stream, &manifest.tensors, (&tables, payload), budget)
                    .map_err(|error| error.offset_by(at))
            })
            .collect();
        let mut elements: Vec<(usize, TensorData)> = decoded?.into_iter().flatten().collect();
        elements.sort_by_key(|&(index, _)| index);
        let mut tensors = Tensors::default();
        for (info, (_, data)) in manifest.tensors.into_iter().zip(elements) {
            tensors.insert(ModelTensor { info, data })?;
        }
        let data = ModelData {
            record: manifest.record,
            parameters: manifest.parameters,
            graphs: manifest.graphs,
            tensors,
        };
        Model::from_parts(data, id, budget.limits(), Some(reservation))
            .map_err(|fault| fault_in_file(fault, manifest_at))
    }
}

/// Reads what a file says of itself and compares its hash, but leaves its
/// tensors and graphs unchecked.
///
/// # Errors
/// As [`Model::read`].
pub fn read_summary(file: &[u8], budget: &Budget) -> Result<Summary> {
    check_hash(file)?;
    peek_summary(file, budget)
}

/// What a file says of itself, whatever its hash: enough to choose one, whose
/// hash [`Model::read`] then compares.
///
/// # Errors
/// As [`Model::read`].
pub fn peek_summary(file: &[u8], budget: &Budget) -> Result<Summary> {
    let opened = open(file, budget)?;
    let tensors = &opened.manifest.tensors;
    let elements = tensors.iter().try_fold(0u64, |sum, info| {
        sum.checked_add(info.elements()?)
            .ok_or(Error::Limit("tensor size"))
    })?;
    Ok(Summary {
        id: opened.id,
        record: opened.manifest.record,
        graphs: opened
            .manifest
            .graphs
            .into_iter()
            .map(|graph| graph.name)
            .collect(),
        elements,
        file_bytes: file.len() as u64,
    })
}

/// A file whose manifest has been read.
struct Opened<'f> {
    id: ModelId,
    manifest: Manifest,
    manifest_at: u64,
    body: Cursor<'f>,
}

fn open<'f>(file: &'f [u8], budget: &Budget) -> Result<Opened<'f>> {
    if file.len() as u64 > budget.limits().max_model_bytes {
        return Err(Error::Limit("bytes of a model"));
    }
    let mut body = Cursor::new(file, 0);
    let stored = read_hash(&mut body)?;
    let len = body.varint()?;
    let coded_len = body.varint()?;
    let manifest_at = body.at();
    let coded = body.take(coded_len)?;
    if len > MAX_MANIFEST_BYTES || len > (coded_len + 16) * MAX_MANIFEST_RATIO {
        return Err(Error::malformed(manifest_at, "manifest out of proportion"));
    }
    // The JSON itself, and what becomes of it: its smallest parts grow tenfold.
    let _reservation = budget.reserve(16 * len)?;
    let json = text::decompress(coded, len as usize, budget)
        .map_err(|error| error.offset_by(manifest_at))?;
    let manifest: Manifest = serde_json::from_slice(&json).map_err(|_| {
        Error::malformed(manifest_at, "manifest that is not of this version's form")
    })?;
    Ok(Opened {
        id: id_of(&stored),
        manifest,
        manifest_at,
        body,
    })
}

/// Compares a file's hash with its bytes.
fn check_hash(file: &[u8]) -> Result<()> {
    let mut body = Cursor::new(file, 0);
    let stored = read_hash(&mut body)?;
    if hash(&file[..4], body.rest()) != stored {
        return Err(Error::Checksum { block: 0, at: 4 });
    }
    Ok(())
}

fn read_hash(cursor: &mut Cursor<'_>) -> Result<[u8; HASH_BYTES]> {
    if cursor.take(3)? != MAGIC {
        return Err(Error::malformed(0, "not a model file"));
    }
    let version = cursor.byte()?;
    if version != FORMAT_VERSION {
        return Err(Error::unsupported(format!(
            "model file of version {version}"
        )));
    }
    let hash = cursor.take(HASH_BYTES as u64)?;
    Ok(hash.try_into().expect("32 bytes"))
}

/// A file of that body.
fn with_head(body: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.push(FORMAT_VERSION);
    file.extend_from_slice(&hash(&file, body));
    file.extend_from_slice(body);
    file
}

/// The hash of a file: of everything but itself.
fn hash(head: &[u8], body: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(body);
    hasher.finalize().into()
}

fn id_of(hash: &[u8; HASH_BYTES]) -> ModelId {
    ModelId(hash[..8].try_into().expect("eight bytes"))
}

/// The loader's fault: the file's, or its size's.
fn fault_in_file(fault: Fault, at: u64) -> Error {
    if fault.is_limit {
        Error::Limit(fault.what)
    } else {
        Error::malformed(at, fault.what)
    }
}

/// Bytes of all elements, if they are in proportion to the file and allowed.
fn claimed_bytes(tensors: &[TensorInfo], file_len: u64, limits: &Limits) -> Result<u64, Fault> {
    let too_large = || Fault::limit("bytes of a model");
    let mut bytes = 0u64;
    for info in tensors {
        check::check_dims(&info.dims)?;
        let more = info
            .elements()
            .ok()
            .and_then(|n| n.checked_mul(info.element.bytes()));
        bytes = more
            .and_then(|more| bytes.checked_add(more))
            .ok_or_else(too_large)?;
    }
    if tensors.windows(2).any(|pair| pair[0].name >= pair[1].name) {
        return Err(Fault::new("tensors out of the order of their names"));
    }
    if bytes > file_len * MAX_ELEMENT_RATIO + FREE_ELEMENT_BYTES {
        return Err(Fault::new("more elements than such a file can hold"));
    }
    if bytes > limits.max_model_bytes {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Which tensors (by index) share a stream: small ones of one type do, in the
/// order of types; then every large or packed one has its own.
fn streams(tensors: &[TensorInfo]) -> Result<Vec<Vec<usize>>> {
    let mut shared: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    let mut own = Vec::new();
    for (index, info) in tensors.iter().enumerate() {
        if info.elements()? >= OWN_STREAM_ELEMENTS || info.element == ElementType::Packed {
            own.push(vec![index]);
        } else {
            shared.entry(info.element as u8).or_default().push(index);
        }
    }
    Ok(shared.into_values().chain(own).collect())
}

/// Elements, and how many make a row: all that belong to an index of the
/// first extent, or all if there is only one extent.
fn sizes(info: &TensorInfo) -> Result<(usize, usize)> {
    let len = usize::try_from(info.elements()?).map_err(|_| Error::Limit("memory"))?;
    let rows = match info.dims[..] {
        [first, _, ..] => first as usize,
        _ => 1,
    };
    Ok((len, len / rows))
}

/// Packed tensors need no tables.
fn has_tables(tensors: &[TensorInfo]) -> bool {
    let is_coded = |info: &TensorInfo| info.element != ElementType::Packed;
    tensors.iter().any(is_coded)
}

/// The tables of all tensors, if any are coded, then their streams.
fn encode_tensors(streams: &[Vec<usize>], tensors: &[&ModelTensor]) -> Result<Vec<Vec<u8>>> {
    let mut counts = Counts::new();
    let counted: Result<Vec<Counts>> = streams
        .par_iter()
        .map(|stream| {
            let mut counts = Counts::new();
            code_stream(&mut counts, stream, tensors)?;
            Ok(counts)
        })
        .collect();
    counted?.iter().for_each(|more| counts.add(more));
    let mut coder = RangeBitEncoder::new();
    let tables = Tables::code(&mut coder, &counts)?;
    let infos: Vec<TensorInfo> = tensors.iter().map(|tensor| tensor.info.clone()).collect();
    let mut payloads = Vec::new();
    if has_tables(&infos) {
        payloads.push(coder.finish());
    }
    let coded: Result<Vec<Vec<u8>>> = streams
        .par_iter()
        .map(|stream| {
            if let [index] = stream[..]
                && let TensorData::Packed(bytes) = &tensors[index].data
            {
                return Ok(bytes.clone());
            }
            let mut coder = Coder {
                coder: AnsEncoder::new(),
                tables: &tables,
            };
            code_stream(&mut coder, stream, tensors)?;
            Ok(coder.coder.finish())
        })
        .collect();
    payloads.extend(coded?);
    Ok(payloads)
}

/// What is to be coded of a stream's tensors: not packed ones.
fn code_stream<C: weights::ElementCoder>(
    coder: &mut C,
    stream: &[usize],
    tensors: &[&ModelTensor],
) -> Result<()> {
    for &index in stream {
        let tensor = tensors[index];
        if tensor.info.element != ElementType::Packed {
            weights::code(coder, sizes(&tensor.info)?, &mut tensor.data.clone())?;
        }
    }
    Ok(())
}

fn decode_tables(payload: &[u8]) -> Result<Tables> {
    let mut decoder = RangeBitDecoder::new(payload);
    let tables = Tables::code(&mut decoder, &Counts::new())?;
    decoder.finish()?;
    Ok(tables)
}

fn decode_stream(
    stream: &[usize],
    infos: &[TensorInfo],
    (tables, payload): (&Tables, &[u8]),
    budget: &Budget,
) -> Result<Vec<(usize, TensorData)>> {
    if let [index] = stream
        && infos[*index].element == ElementType::Packed
    {
        if payload.len() as u64 != infos[*index].elements()? {
            return Err(Error::malformed(0, "packed bytes of another length"));
        }
        return Ok(vec![(*index, TensorData::Packed(payload.to_vec()))]);
    }
    let mut coder = Coder {
        coder: AnsDecoder::new(payload)?,
        tables,
    };
    let mut decoded = Vec::new();
    for &index in stream {
        let mut data = infos[index].element.empty();
        let sizes = sizes(&infos[index])?;
        let _columns = budget.reserve_for::<u32>(sizes.1 as u64)?;
        weights::code(&mut coder, sizes, &mut data)?;
        decoded.push((index, data));
    }
    coder.coder.finish()?;
    Ok(decoded)
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
