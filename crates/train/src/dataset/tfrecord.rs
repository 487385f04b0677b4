//! TFRecords of `tf.Example`, as TensorFlow's ImageNet script and slim write them: the picture's file
//! in `image/encoded`, its class as a number in `image/class/label`, in words in `image/class/text`;
//! TFDS's `image` and `label` are understood too.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use mobilenet_formats::Limits;
use mobilenet_formats::tfrecord::example::Example;
use mobilenet_formats::tfrecord::{self, RecordReader};

use super::shards::{Found, MAX_CLASSES};
use super::{Sample, Source};
use crate::{Error, ErrorKind, Result};

/// Names of what is read, the usual one first.
const PICTURE: [&str; 2] = ["image/encoded", "image"];
const LABEL: [&str; 2] = ["image/class/label", "label"];
const WORDS: &str = "image/class/text";

/// Longest name of a class, in bytes.
const MAX_NAME: usize = 1024;

/// Bytes that tell what a file is.
pub(super) const HEAD_BYTES: u64 = tfrecord::HEADER_BYTES as u64;

/// Whether a file that begins with `head` holds records, or could once decompressed.
pub(super) fn detect(head: &[u8]) -> bool {
    tfrecord::detect(head) || head.starts_with(&[0x1f, 0x8b])
}

/// Adds the pictures of `shard` to `found`; every record is read and its checksum verified.
pub(super) fn scan(shard: &Path, found: &mut Found) -> Result<()> {
    let file: Arc<Path> = Arc::from(shard);
    let limits = Limits::default();
    let open = File::open(shard)
        .map_err(|error| Error::new(ErrorKind::Io, "cannot be opened").because(error))?;
    let mut records = RecordReader::new(open, &limits).map_err(bad)?;
    if records.is_compressed() {
        let message = "it is compressed, so its pictures cannot be read one by one; decompress it";
        return Err(Error::new(ErrorKind::Data, message));
    }
    loop {
        let start = records.position();
        let Some(record) = records.next_record().map_err(bad)? else { return Ok(()) };
        let record = record.to_vec();
        let data = start + tfrecord::HEADER_BYTES as u64;
        let sample = sample(&file, record, data, &limits, found);
        found.samples.push(sample.map_err(|error| {
            Error::new(ErrorKind::Data, format!("record at byte {start}")).because(error)
        })?);
    }
}

/// The sample of one record, which begins at byte `data` of its file.
fn sample(
    file: &Arc<Path>,
    record: Vec<u8>,
    data: u64,
    limits: &Limits,
    found: &mut Found,
) -> Result<Sample> {
    let (example, places) = Example::decode_places(record, limits).map_err(bad)?;
    let usual = |names: [&'static str; 2], has: &dyn Fn(&str) -> bool| {
        names.into_iter().find(|name| has(name)).unwrap_or(names[0])
    };
    let picture = usual(PICTURE, &|name| !example.bytes(name).is_empty());
    let label = usual(LABEL, &|name| !example.ints(name).is_empty());
    let (number, bytes) = (example.one_int(label).map_err(bad)?, example.one_bytes(picture));
    let bytes = places.of(bytes.map_err(bad)?).ok_or_else(|| {
        Error::new(ErrorKind::Data, format!("`{picture}` cannot be found in its record"))
    })?;
    let known = usize::try_from(number).ok().filter(|&number| number < MAX_CLASSES);
    let label = known.ok_or_else(|| {
        Error::new(ErrorKind::Data, format!("`{label}` is {number}, no class number"))
    })?;
    if let [words] = example.bytes(WORDS) {
        name_class(label, words, found)?;
    }
    let bytes = data + bytes.start as u64..data + bytes.end as u64;
    let name = format!("{}", found.samples.len());
    let source = Source::Part { file: file.clone(), bytes, name };
    Ok(Sample { source, label, origin: 0 })
}

/// The first record that says what a class is called is believed.
fn name_class(label: usize, words: &[u8], found: &mut Found) -> Result<()> {
    if words.is_empty() || found.names.contains_key(&label) {
        return Ok(());
    }
    let name = String::from_utf8_lossy(words.get(..MAX_NAME).unwrap_or(words)).into_owned();
    if name.contains(char::is_control) {
        let message = format!("`{WORDS}` is {name:?}, more than a line of text");
        return Err(Error::new(ErrorKind::Data, message));
    }
    found.names.insert(label, name);
    Ok(())
}

fn bad(error: mobilenet_formats::Error) -> Error {
    Error::new(ErrorKind::Data, error.to_string())
}
