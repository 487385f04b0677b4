//! Where in `saved_model.pb` the parts of its meta graphs lie, found by stepping from field to
//! field: nothing but the tags is read yet, and [`Stored`] reads no more than is asked for.
//!
//! A part is decoded as the whole would be. What is wrong with the rest shows when it is read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::SAVED_MODEL_FILE;
use crate::error::Within as _;
use crate::tensorflow::messages::MetaGraphDef;
use crate::wire::Cursor;
use crate::{Error, ErrorKind, FileSource, Limits, Result, wire};

/// `SavedModel.saved_model_schema_version` and `SavedModel.meta_graphs`
const VERSION: u64 = 1;
const META_GRAPHS: u64 = 2;
/// `MetaGraphDef.meta_info_def` and `MetaGraphDef.graph_def`
const INFO: u64 = 1;
const GRAPH: u64 = 2;

/// Wire types: a number, and bytes after their length.
const VARINT: u64 = 0;
const DELIMITED: u64 = 2;

/// Bytes read at once to step over fields.
const WINDOW: u64 = 4 << 10;
/// Bytes that hold any tag and length.
const HEADER: u64 = 20;

/// Only the tags of a `MetaInfoDef`.
#[derive(Clone, PartialEq, prost::Message)]
struct InfoTagsOnly {
    #[prost(string, repeated, tag = "4")]
    tags: Vec<String>,
}

/// The meta graphs of a file.
pub(super) struct Outline {
    pub(super) schema_version: i64,
    pub(super) meta_graphs: Vec<Stored>,
}

/// A meta graph in its file.
#[derive(Clone)]
pub(super) struct Stored {
    source: Arc<dyn FileSource>,
    pub(super) tags: Vec<String>,
    whole: Range<u64>,
    /// The contents of `graph_def`; more than one is merged.
    graph: Vec<Range<u64>>,
    /// All other fields, tags included, those beside each other as one range.
    rest: Vec<Range<u64>>,
}

impl Outline {
    /// Reads the outline of the file, which is `len` bytes long.
    pub(super) fn read(source: &Arc<dyn FileSource>, len: u64, limits: &Limits) -> Result<Self> {
        Limits::check("bytes of the message", len, limits.message_bytes)?;
        if len / 2 > limits.message_fields as u64 {
            wire::check_message(&read(&**source, 0..len)?, limits)?;
        }
        let mut outline = Outline { schema_version: 0, meta_graphs: Vec::new() };
        let mut steps = Steps::new(&**source, 0..len);
        while let Some(field) = steps.next()? {
            match field.number {
                VERSION => outline.schema_version = field.varint()?.cast_signed(),
                META_GRAPHS => {
                    field.delimited()?;
                    let number = outline.meta_graphs.len();
                    let stored = Stored::read(source, field.content)
                        .within(|| format!("meta graph {number}"))?;
                    outline.meta_graphs.push(stored);
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}

impl Stored {
    fn read(source: &Arc<dyn FileSource>, whole: Range<u64>) -> Result<Self> {
        let mut steps = Steps::new(&**source, whole.clone());
        let (mut info, mut graph, mut rest) = (Vec::new(), Vec::new(), Vec::<Range<u64>>::new());
        while let Some(field) = steps.next()? {
            if field.number == INFO {
                field.delimited()?;
                info.extend(read(&**source, field.content.clone())?);
            }
            if field.number == GRAPH {
                field.delimited()?;
                graph.push(field.content);
            } else {
                match rest.last_mut() {
                    Some(last) if last.end == field.whole.start => last.end = field.whole.end,
                    _ => rest.push(field.whole),
                }
            }
        }
        let tags = InfoTagsOnly::decode(info.as_slice())?.tags;
        Ok(Stored { source: Arc::clone(source), tags, whole, graph, rest })
    }

    /// The whole message.
    pub(super) fn bytes(&self) -> Result<Bytes> {
        Ok(read(&*self.source, self.whole.clone())?.into())
    }

    /// The message without its graph.
    pub(super) fn without_graph(&self) -> Result<MetaGraphDef> {
        Ok(MetaGraphDef::decode(Bytes::from(self.join(&self.rest)?))?)
    }

    /// The graph.
    pub(super) fn graph(&self) -> Result<Vec<u8>> {
        self.join(&self.graph)
    }

    fn join(&self, ranges: &[Range<u64>]) -> Result<Vec<u8>> {
        if let [only] = ranges {
            return read(&*self.source, only.clone());
        }
        let mut bytes = Vec::new();
        for range in ranges {
            bytes.extend(read(&*self.source, range.clone())?);
        }
        Ok(bytes)
    }
}

/// A field of a message in the file.
struct Step {
    number: u64,
    /// How it is written.
    wire_type: u64,
    /// What a varint field says.
    value: u64,
    /// With its tag.
    whole: Range<u64>,
    /// Its bytes if it is length-delimited, else nothing.
    content: Range<u64>,
}

impl Step {
    /// The value of a varint field.
    fn varint(&self) -> Result<u64> {
        if self.wire_type == VARINT { Ok(self.value) } else { Err(no_field()) }
    }

    /// An error unless its content has a length of its own.
    fn delimited(&self) -> Result<()> {
        if self.wire_type == DELIMITED { Ok(()) } else { Err(no_field()) }
    }
}

fn no_field() -> Error {
    Error::new(ErrorKind::Malformed, "no field of a protobuf message")
}

/// Steps over the fields of the message in a range of the file.
struct Steps<'a> {
    source: &'a dyn FileSource,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Steps<'a> {
    fn new(source: &'a dyn FileSource, range: Range<u64>) -> Self {
        Steps { source, at: range.start, end: range.end, window: Vec::new(), window_at: 0 }
    }

    fn next(&mut self) -> Result<Option<Step>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let step = self.step().map_err(|error| error.offset(at))?;
        self.at = step.whole.end;
        Ok(Some(step))
    }

    fn step(&mut self) -> Result<Step> {
        let (at, end) = (self.at, self.end);
        let mut header = Cursor::new(self.header()?);
        let tag = header.varint()?;
        let mut value = 0;
        if tag >> 3 == 0 {
            return Err(no_field());
        }
        let len = match tag & 7 {
            VARINT => {
                value = header.varint()?;
                0
            }
            1 => 8,
            DELIMITED => header.varint()?,
            5 => 4,
            _ => return Err(no_field()),
        };
        let start = at + header.position() as u64;
        let content_end = start.checked_add(len).filter(|&to| to <= end).ok_or_else(|| {
            let message = format!("a field of {len} bytes where {} are left", end - start.min(end));
            Error::new(ErrorKind::Malformed, message)
        })?;
        let content = if tag & 7 == DELIMITED { start..content_end } else { start..start };
        Ok(Step { number: tag >> 3, wire_type: tag & 7, value, whole: at..content_end, content })
    }

    /// The bytes at the current place, enough for any tag and length.
    fn header(&mut self) -> Result<&[u8]> {
        let (from, to) = (self.at, self.end.min(self.at.saturating_add(HEADER)));
        let window_end = self.window_at + self.window.len() as u64;
        if from < self.window_at || to > window_end {
            self.window = read(self.source, from..self.end.min(from.saturating_add(WINDOW)))?;
            self.window_at = from;
        }
        let place = |at: u64| usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(place(from)..place(to)).unwrap_or_default())
    }
}

fn read(source: &dyn FileSource, range: Range<u64>) -> Result<Vec<u8>> {
    let wanted = range.end - range.start;
    let bytes = source.read_range(SAVED_MODEL_FILE, range)?.unwrap_or_default();
    if bytes.len() as u64 != wanted {
        let message = format!("{} of {wanted} bytes: the file has changed", bytes.len());
        return Err(Error::new(ErrorKind::Truncated, message));
    }
    Ok(bytes.into_owned())
}
