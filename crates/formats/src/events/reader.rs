//! Reads event files, our own and TensorFlow's.

use std::io::Read;

use super::messages::Event;
use crate::error::Within as _;
use crate::tfrecord::RecordReader;
use crate::{Limits, Result};

/// The events of a file, in order.
///
/// ```
/// use mobilenet_formats::{Limits, events::{EventReader, EventWriter}};
///
/// let mut file = Vec::new();
/// EventWriter::new(&mut file, 1.5e9)?;
/// let mut events = EventReader::new(file.as_slice(), &Limits::default())?;
/// assert_eq!(events.next_event()?.map(|event| event.wall_time), Some(1.5e9));
/// assert_eq!(events.next_event()?, None);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
pub struct EventReader<R: Read> {
    records: RecordReader<R>,
    limits: Limits,
}

impl<R: Read> EventReader<R> {
    /// Reads the first bytes.
    ///
    /// # Errors
    /// What reading gave.
    pub fn new(reader: R, limits: &Limits) -> Result<Self> {
        Ok(EventReader { records: RecordReader::new(reader, limits)?, limits: limits.clone() })
    }

    /// The next event; `None` at the end. What an event holds that [`Event`] does not know is
    /// passed over.
    ///
    /// # Errors
    /// As [`RecordReader::next_record`]; a record that is no event, with its offset.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        let start = self.records.position();
        let Some(record) = self.records.next_record()? else { return Ok(None) };
        let event = crate::tensorflow::decode_message(record.to_vec(), &self.limits);
        Ok(Some(event.within(|| format!("record at byte {start}"))?))
    }
}
