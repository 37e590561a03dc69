//! The mode photo [6].
use super::{Group, Plane, ValueMap};
use crate::bytes::Bytes;
use crate::error::{Result, malformed};
pub(super) fn decode(
    _group: Group,
    _bytes: Bytes<'_>,
    _large: bool,
) -> Result<(Vec<ValueMap>, Vec<Plane>)> {
    malformed("photo")
}
