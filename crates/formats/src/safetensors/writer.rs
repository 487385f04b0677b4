//! Writes named tensors as a safetensors file: widest elements first, then by name, so that every
//! tensor is aligned and the same tensors always give the same bytes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{HEADER_BYTES, METADATA, TYPES};
use crate::elements;
use crate::error::Within;
use crate::{DType, Error, ErrorKind, Result, Tensor};

/// Writes `tensors` and, unless empty, `metadata`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for strings, [`ErrorKind::Mismatch`] for a name given twice or the
/// reserved `__metadata__`.
pub fn write<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by_key(|(name, tensor)| (Reverse(tensor.dtype().size()), *name));
    check_names(&tensors).within(|| "safetensors")?;
    let (header, len) = header(&tensors, metadata).within(|| "safetensors")?;

    let mut out = Vec::with_capacity(8 + header.len() + len);
    out.extend_from_slice(&(header.len() as u64).to_le_bytes());
    out.extend_from_slice(&header);
    for (name, tensor) in tensors {
        let values = elements::to_le_bytes(tensor.data());
        out.extend_from_slice(&values.within(|| format!("tensor `{name}`"))?);
    }
    Ok(out)
}

fn check_names(tensors: &[(&str, &Tensor)]) -> Result<()> {
    let mut seen = BTreeSet::from([METADATA]);
    match tensors.iter().find(|(name, _)| !seen.insert(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("the name `{}` is reserved or given twice", name.escape_debug());
            Err(Error::new(ErrorKind::Mismatch, message))
        }
    }
}

/// The header's bytes, padded to a multiple of 8, and the bytes of all values.
fn header(
    tensors: &[(&str, &Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(Vec<u8>, usize)> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), json!(metadata));
    }
    let mut end = 0;
    for (name, tensor) in tensors {
        let dtype = type_name(tensor.dtype()).within(|| format!("tensor `{name}`"))?;
        let start = end;
        end += tensor.len() * tensor.dtype().size().unwrap_or(0);
        let entry = json!({"dtype": dtype, "shape": tensor.shape(), "data_offsets": [start, end]});
        header.insert((*name).into(), entry);
    }
    let mut json = Value::Object(header).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > HEADER_BYTES {
        return Err(Error::new(ErrorKind::Limit, "the header would be longer than 100 MB"));
    }
    Ok((json, end))
}

fn type_name(dtype: DType) -> Result<&'static str> {
    TYPES.iter().find(|(_, known)| *known == dtype).map(|(name, _)| *name).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("the format has no type {dtype}"))
    })
}
