//! Reads a safetensors file: the header at once, values when asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{HEADER_BYTES, METADATA, TYPES};
use crate::elements;
use crate::error::Within;
use crate::tensor::element_count;
use crate::{DType, Error, ErrorKind, Limits, Result, Tensor};

/// A safetensors file whose header was read and checked; tensors are decoded on request.
///
/// ```
/// use mobilenet_formats::{Limits, Tensor, safetensors};
///
/// let weights = Tensor::new([2, 2], vec![1f32, 2., 3., 4.])?;
/// let bytes = safetensors::write([("weights", &weights)], &Default::default())?;
/// let file = safetensors::SafeTensors::read(&bytes, &Limits::default())?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["weights"]);
/// assert_eq!(file.tensor("weights")?, weights);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SafeTensors<'a> {
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    values: &'a [u8],
}

/// One tensor of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Element type.
    pub dtype: DType,
    /// Outermost dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Bytes of the values part that it takes.
    pub range: Range<usize>,
}

impl<'a> SafeTensors<'a> {
    /// Reads the header and checks that the tensors fill the rest of the file exactly.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`], [`ErrorKind::Truncated`] or [`ErrorKind::Mismatch`] where the file
    /// does not follow the format, [`ErrorKind::Unsupported`] for eight-bit floats,
    /// [`ErrorKind::Limit`] beyond `limits.message_bytes` (header), `tensor_bytes` or `rank`.
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        read(bytes, limits).within(|| "safetensors")
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What the header says of a tensor.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The strings of `__metadata__`.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Decodes one tensor.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that name.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let entry = self.entries.get(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no tensor `{}`", name.escape_debug()))
                .within("safetensors")
        })?;
        let bytes = self.values.get(entry.range.clone()).unwrap_or_default();
        Tensor::new(entry.shape.clone(), elements::from_le_bytes(entry.dtype, bytes)?)
    }
}

fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<SafeTensors<'a>> {
    let truncated = |what: &str| {
        Error::new(ErrorKind::Truncated, format!("the file ends inside {what}"))
            .offset(bytes.len() as u64)
    };
    let (len, rest) = bytes.split_first_chunk().ok_or_else(|| truncated("the header's length"))?;
    let len = u64::from_le_bytes(*len);
    Limits::check("bytes of the header", len, HEADER_BYTES.min(limits.message_bytes))?;
    let (json, values) = rest
        .split_at_checked(usize::try_from(len).unwrap_or(usize::MAX))
        .ok_or_else(|| truncated("the header"))?;
    if !json.starts_with(b"{") {
        return Err(
            Error::new(ErrorKind::Malformed, "the header does not begin with `{`").offset(8)
        );
    }
    let header: Header = serde_json::from_slice(json).map_err(|error| {
        Error::new(ErrorKind::Malformed, error.to_string()).caused_by(error).within("header")
    })?;
    let mut entries = BTreeMap::new();
    for (name, raw) in header.tensors {
        let entry = check(&raw, limits).within(|| format!("tensor `{name}`"))?;
        if entries.insert(name.clone(), entry).is_some() {
            let message = "the name is given twice";
            return Err(
                Error::new(ErrorKind::Malformed, message).within(format!("tensor `{name}`"))
            );
        }
    }
    check_cover(&entries, values.len())?;
    Ok(SafeTensors { entries, metadata: header.metadata, values })
}

/// A tensor as the header writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

fn check(raw: &RawEntry, limits: &Limits) -> Result<Entry> {
    let dtype = TYPES.iter().find(|(name, _)| *name == raw.dtype).map(|(_, dtype)| *dtype);
    let dtype = dtype.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("elements of type `{}`", raw.dtype.escape_debug()),
        )
    })?;
    Limits::check("rank", raw.shape.len() as u64, limits.rank as u64)?;
    let bytes = element_count(&raw.shape)
        .and_then(|count| count.checked_mul(dtype.size()?))
        .ok_or_else(|| Error::new(ErrorKind::Limit, "the shape's product overflows"))?;
    Limits::check("bytes of the tensor", bytes as u64, limits.tensor_bytes)?;
    let (start, end) = raw.data_offsets;
    if end.checked_sub(start) != Some(bytes) {
        let message =
            format!("{dtype} of shape {:?} takes {bytes} bytes, not {start}..{end}", raw.shape);
        return Err(Error::new(ErrorKind::Mismatch, message));
    }
    Ok(Entry { dtype, shape: raw.shape.clone(), range: start..end })
}

/// Tensors in order of their place must follow each other from 0 to the end.
fn check_cover(entries: &BTreeMap<String, Entry>, len: usize) -> Result<()> {
    let mut in_order: Vec<_> = entries.iter().collect();
    in_order.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
    let mut end = 0;
    for (name, entry) in in_order {
        let start = entry.range.start;
        if start != end {
            let fault =
                if start < end { "overlaps the tensor before" } else { "leaves a hole before" };
            let message = format!("its bytes {:?} {fault}, which ends at {end}", entry.range);
            return Err(
                Error::new(ErrorKind::Malformed, message).within(format!("tensor `{name}`"))
            );
        }
        end = entry.range.end;
    }
    match end.cmp(&len) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Error::new(
            ErrorKind::Truncated,
            format!("the tensors take {end} bytes, the file has {len} after the header"),
        )),
        std::cmp::Ordering::Less => Err(Error::new(
            ErrorKind::Malformed,
            format!("{} bytes follow the last tensor", len - end),
        )),
    }
}

/// The header in file order: names may repeat here, so that repetition can be refused.
struct Header {
    tensors: Vec<(String, RawEntry)>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from names to tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { tensors: Vec::new(), metadata: BTreeMap::new() };
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                header.metadata = map.next_value()?;
            } else {
                header.tensors.push((name, map.next_value()?));
            }
        }
        Ok(header)
    }
}
