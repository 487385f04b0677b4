//! [`TensorProto`] to host tensor and back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{DataType, GraphProto, ModelProto, TensorProto};
use crate::error::Within;
use crate::tensor::element_count;
use crate::{
    DType, Error, ErrorKind, FileSource, Limits, Result, Tensor, TensorData, elements, paths,
};

/// Every type of the format that the host has too.
const TYPES: &[(DataType, DType)] = &[
    (DataType::Float, DType::F32),
    (DataType::Uint8, DType::U8),
    (DataType::Int8, DType::I8),
    (DataType::Uint16, DType::U16),
    (DataType::Int16, DType::I16),
    (DataType::Int32, DType::I32),
    (DataType::Int64, DType::I64),
    (DataType::String, DType::String),
    (DataType::Bool, DType::Bool),
    (DataType::Float16, DType::F16),
    (DataType::Double, DType::F64),
    (DataType::Uint32, DType::U32),
    (DataType::Uint64, DType::U64),
    (DataType::Bfloat16, DType::BF16),
];

/// [`TensorProto::data_location`]: the values are in a file of their own.
const EXTERNAL: i32 = 1;

impl DataType {
    /// The host's element type; `None` for complex numbers and floats of a byte or less.
    #[must_use]
    pub fn dtype(self) -> Option<DType> {
        TYPES.iter().find(|(known, _)| *known == self).map(|(_, dtype)| *dtype)
    }

    /// The format's name for a host element type.
    #[must_use]
    pub fn from_dtype(dtype: DType) -> Option<Self> {
        TYPES.iter().find(|(_, known)| *known == dtype).map(|(known, _)| *known)
    }
}

impl ModelProto {
    /// The files beside the model that hold values of its tensors, as it names them: unchecked names.
    ///
    /// ```
    /// use mobilenet_formats::onnx::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
    ///
    /// let location =
    ///     StringStringEntryProto { key: "location".into(), value: "model.onnx.data".into() };
    /// let external_data = vec![location];
    /// let tensor = TensorProto { data_location: 1, external_data, ..TensorProto::default() };
    /// let graph = GraphProto { initializer: vec![tensor], ..GraphProto::default() };
    /// let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    /// assert!(model.external_files().contains("model.onnx.data"));
    /// ```
    #[must_use]
    pub fn external_files(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let mut graphs: Vec<&GraphProto> = self.graph.iter().collect();
        while let Some(graph) = graphs.pop() {
            let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
            let tensors = attributes().flat_map(|a| a.t.as_deref().into_iter().chain(&a.tensors));
            let tensors = graph.initializer.iter().chain(tensors);
            let outside = tensors.filter(|tensor| tensor.data_location == EXTERNAL);
            names.extend(outside.map(|tensor| tensor.entry("location").unwrap_or_default()));
            graphs.extend(attributes().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs)));
        }
        names
    }
}

impl TensorProto {
    /// The tensor's value. `folder` holds the files beside the model, for values stored there.
    ///
    /// ```
    /// use mobilenet_formats::{Limits, MemoryFiles, Tensor, onnx::TensorProto};
    ///
    /// let value = Tensor::new([2, 2], vec![1f32, 2., 3., 4.])?;
    /// let proto = TensorProto::from_tensor("weights", &value)?;
    /// assert_eq!(proto.to_tensor(&MemoryFiles::default(), &Limits::default())?, value);
    /// # Ok::<(), mobilenet_formats::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] where values and shape disagree, [`ErrorKind::Malformed`] for negative
    /// dimensions, [`ErrorKind::UnsafePath`] for files outside the folder, [`ErrorKind::NotFound`]
    /// for files that are not there, [`ErrorKind::Limit`] beyond `limits.tensor_bytes` or
    /// `limits.rank`, [`ErrorKind::Unsupported`] for types the host lacks.
    pub fn to_tensor(&self, folder: &dyn FileSource, limits: &Limits) -> Result<Tensor> {
        self.decode(folder, limits).within(|| format!("tensor `{}`", self.name))
    }

    fn decode(&self, folder: &dyn FileSource, limits: &Limits) -> Result<Tensor> {
        let dtype = DataType::try_from(self.data_type).ok().and_then(DataType::dtype);
        let dtype = dtype.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("elements of type {}", self.data_type))
        })?;
        if self.segment.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "a tensor in segments"));
        }
        let shape = self.shape(limits)?;
        let bytes = element_count(&shape)
            .and_then(|count| count.checked_mul(dtype.size().unwrap_or(1)))
            .ok_or_else(|| Error::new(ErrorKind::Limit, "the shape's product overflows"))?;
        Limits::check("bytes of the tensor", bytes as u64, limits.tensor_bytes)?;
        let data = match self.bytes(bytes, folder, limits)? {
            Some(_) if dtype == DType::String => {
                return Err(Error::new(ErrorKind::Malformed, "strings as raw bytes"));
            }
            Some(raw) => elements::from_le_bytes(dtype, &raw)?,
            None => self.listed(dtype)?,
        };
        Tensor::new(shape, data)
    }

    fn shape(&self, limits: &Limits) -> Result<Vec<usize>> {
        Limits::check("rank", self.dims.len() as u64, limits.rank as u64)?;
        let dims: Result<_, _> = self.dims.iter().map(|&dim| usize::try_from(dim)).collect();
        dims.map_err(|_| {
            Error::new(
                ErrorKind::Malformed,
                format!("shape {:?} has a negative dimension", self.dims),
            )
        })
    }

    /// The values as bytes, if they are stored so; `expected` of them.
    fn bytes<'a>(
        &'a self,
        expected: usize,
        folder: &'a dyn FileSource,
        limits: &Limits,
    ) -> Result<Option<Cow<'a, [u8]>>> {
        if self.data_location == EXTERNAL {
            let found = self.external(expected, folder, limits).within(|| "external_data")?;
            return Ok(Some(found));
        }
        Ok(self.raw_data.as_deref().map(Cow::Borrowed))
    }

    fn external<'a>(
        &self,
        expected: usize,
        folder: &'a dyn FileSource,
        limits: &Limits,
    ) -> Result<Cow<'a, [u8]>> {
        let location = self.entry("location").unwrap_or_default();
        let path = paths::plain(location, limits)?;
        let start = self.number("offset")?.unwrap_or(0);
        let len = self.number("length")?.unwrap_or(expected as u64);
        if len != expected as u64 {
            let message = format!("{len} bytes of file `{path}` for a tensor of {expected}");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        let end = start
            .checked_add(len)
            .ok_or_else(|| Error::new(ErrorKind::Malformed, "offset and length overflow"))?;
        let bytes = folder.read_range(&path, start..end)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no file `{path}` beside the model"))
        })?;
        if bytes.len() != expected {
            let message = format!("file `{path}` ends before byte {end}");
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        Ok(bytes)
    }

    fn entry(&self, key: &str) -> Option<&str> {
        let entry = self.external_data.iter().find(|entry| entry.key == key)?;
        Some(&entry.value)
    }

    fn number(&self, key: &str) -> Result<Option<u64>> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                let message = format!("{key} `{}` is no number", text.escape_debug());
                Error::new(ErrorKind::Malformed, message)
            })
        };
        self.entry(key).map(parse).transpose()
    }

    /// The values in the list of their type; [`Tensor::new`] checks how many.
    fn listed(&self, dtype: DType) -> Result<TensorData> {
        let narrow = &self.int32_data;
        Ok(match dtype {
            DType::F32 => self.float_data.clone().into(),
            DType::F64 => self.double_data.clone().into(),
            DType::I64 => self.int64_data.clone().into(),
            DType::U64 => self.uint64_data.clone().into(),
            DType::U32 => fit::<_, u32>(&self.uint64_data)?.into(),
            DType::I32 => narrow.clone().into(),
            DType::I16 => fit::<_, i16>(narrow)?.into(),
            DType::U16 => fit::<_, u16>(narrow)?.into(),
            DType::I8 => fit::<_, i8>(narrow)?.into(),
            DType::U8 => fit::<_, u8>(narrow)?.into(),
            DType::F16 => TensorData::F16(fit(narrow)?),
            DType::BF16 => TensorData::BF16(fit(narrow)?),
            DType::Bool => narrow.iter().map(|&value| value != 0).collect::<Vec<_>>().into(),
            DType::String => self.string_data.clone().into(),
            _ => return Err(Error::new(ErrorKind::Unsupported, format!("a list of {dtype}"))),
        })
    }

    /// A tensor of `name` with its values in `raw_data`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for types the format lacks.
    pub fn from_tensor(name: &str, value: &Tensor) -> Result<Self> {
        let dtype = value.dtype();
        let data_type = DataType::from_dtype(dtype).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("ONNX has no type {dtype}"))
                .within(format!("tensor `{name}`"))
        })?;
        let dims =
            value.shape().iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect();
        let mut proto =
            Self { name: name.into(), dims, data_type: data_type.into(), ..Self::default() };
        match value.as_strings() {
            Some(strings) => proto.string_data = strings.to_vec(),
            None => proto.raw_data = Some(elements::to_le_bytes(value.data())?),
        }
        Ok(proto)
    }
}

/// Every value in a narrower type.
fn fit<From: Copy + std::fmt::Display, To: TryFrom<From>>(values: &[From]) -> Result<Vec<To>> {
    let convert = |&value: &From| {
        To::try_from(value).map_err(|_| {
            let message = format!("{value} is no {}", std::any::type_name::<To>());
            Error::new(ErrorKind::Malformed, message)
        })
    };
    values.iter().map(convert).collect()
}
