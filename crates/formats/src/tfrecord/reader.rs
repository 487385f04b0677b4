//! Reads records one after another, plain or compressed with gzip.

use std::io::{BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::HEADER_BYTES;
use crate::error::Within as _;
use crate::{Error, ErrorKind, Limits, Result, checksum};

/// The records of a file, in order; each is verified before it is given out.
///
/// ```
/// use mobilenet_formats::{Limits, tfrecord::{RecordReader, RecordWriter}};
///
/// let mut file = Vec::new();
/// RecordWriter::new(&mut file).write(b"one")?;
///
/// let mut records = RecordReader::new(file.as_slice(), &Limits::default())?;
/// assert_eq!(records.next_record()?, Some(&b"one"[..]));
/// assert_eq!(records.next_record()?, None);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
pub struct RecordReader<R: Read> {
    input: Input<R>,
    limits: Limits,
    record: Vec<u8>,
    position: u64,
}

/// The first bytes were read to tell what the file is.
type Start<R> = std::io::Chain<Cursor<Vec<u8>>, R>;

enum Input<R: Read> {
    Plain(BufReader<Start<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<Start<R>>>>),
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Input::Plain(reader) => reader.read(buffer),
            Input::Gzip(reader) => reader.read(buffer),
        }
    }
}

impl<R: Read> RecordReader<R> {
    /// Reads the first bytes to tell gzip from plain records.
    ///
    /// # Errors
    /// What reading gave.
    pub fn new(mut reader: R, limits: &Limits) -> Result<Self> {
        let mut head = Vec::with_capacity(HEADER_BYTES);
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut head)?;
        // A record could be 0x..8b1f bytes long, but then the checksum of its length is right.
        let gzip = head.starts_with(&[0x1f, 0x8b]) && parse_header(&head).is_err();
        let reader = BufReader::with_capacity(256 << 10, Cursor::new(head).chain(reader));
        let input = match gzip {
            true => Input::Gzip(Box::new(MultiGzDecoder::new(reader))),
            false => Input::Plain(reader),
        };
        Ok(RecordReader { input, limits: limits.clone(), record: Vec::new(), position: 0 })
    }

    /// The next record's data; `None` at the end of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Checksum`], [`ErrorKind::Truncated`] when the file ends within a record,
    /// [`ErrorKind::Limit`] for a record that is too long, or what reading gave; with the record's
    /// offset.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>> {
        let start = self.position;
        let more = self.fill().within(|| format!("record at byte {start}"))?;
        Ok(more.then_some(self.record.as_slice()))
    }

    /// Whether the file is compressed; positions are then of what it decompresses to.
    pub fn is_compressed(&self) -> bool {
        matches!(self.input, Input::Gzip(_))
    }

    /// Where the next record starts, in bytes of the (decompressed) file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads a record into `self.record`; false at the end.
    fn fill(&mut self) -> Result<bool> {
        self.take(HEADER_BYTES as u64)?;
        if self.record.is_empty() {
            return Ok(false);
        }
        let len = parse_header(&self.record)?;
        Limits::check("bytes of the record", len, self.limits.record_bytes)?;
        self.take(len)?;
        let data = std::mem::take(&mut self.record);
        self.take(4)?;
        let crc = self.record.as_slice().try_into().map_err(|_| truncated());
        self.record = data;
        if self.record.len() as u64 != len {
            return Err(truncated());
        }
        checksum::verify(&self.record, u32::from_le_bytes(crc?))?;
        Ok(true)
    }

    /// Reads up to `count` bytes into `self.record`; fewer at the end of the file.
    fn take(&mut self, count: u64) -> Result<()> {
        self.record.clear();
        let read = self.input.by_ref().take(count).read_to_end(&mut self.record)?;
        self.position += read as u64;
        Ok(())
    }
}

/// Whether a file that begins with `head` begins with a record: the length's checksum is right.
pub fn detect(head: &[u8]) -> bool {
    head.get(..HEADER_BYTES).is_some_and(|header| parse_header(header).is_ok())
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the file ends within the record")
}

/// The length of a record, verified.
fn parse_header(header: &[u8]) -> Result<u64> {
    let (len, crc) = header.split_first_chunk::<8>().ok_or_else(truncated)?;
    let crc = crc.try_into().map_err(|_| truncated())?;
    checksum::verify(len, u32::from_le_bytes(crc)).within(|| "length")?;
    Ok(u64::from_le_bytes(*len))
}
