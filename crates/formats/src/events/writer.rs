//! Writes event files that TensorBoard shows.

use std::io::Write;

use prost::Message as _;

use super::histogram::histogram;
use super::messages::summary::{Image, Kind, Value};
use super::messages::{Event, SessionLog, SessionStatus, Summary, What};
use crate::Result;
use crate::tfrecord::RecordWriter;

/// To which moment of training an event belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct When {
    /// The training step.
    pub step: i64,
    /// Seconds since 1970.
    pub wall_time: f64,
}

/// The name that TensorBoard looks for: `events.out.tfevents.0000000007.host`.
///
/// `seconds` since 1970; characters of `host` that do not belong into a file's name become `-`.
///
/// ```
/// use mobilenet_formats::events::file_name;
///
/// assert_eq!(file_name(1_500_000_000, "box/7"), "events.out.tfevents.1500000000.box-7");
/// ```
pub fn file_name(seconds: u64, host: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    format!("events.out.tfevents.{seconds:010}.{}", host.chars().map(plain).collect::<String>())
}

/// Writes events; each is one write of the inner writer, so a reader sees whole events only.
///
/// ```
/// use mobilenet_formats::events::{EventWriter, When};
///
/// let mut file = Vec::new();
/// let mut events = EventWriter::new(&mut file, 1.5e9)?;
/// events.scalars(When { step: 10, wall_time: 1.5e9 }, &[("loss", 0.5), ("accuracy", 0.9)])?;
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
#[derive(Debug)]
pub struct EventWriter<W: Write> {
    records: RecordWriter<W>,
}

impl<W: Write> EventWriter<W> {
    /// Starts a file with the event that gives its version; `wall_time` in seconds since 1970.
    ///
    /// # Errors
    /// What writing gave.
    pub fn new(writer: W, wall_time: f64) -> Result<Self> {
        let mut events = EventWriter::resume(writer);
        let what = What::FileVersion("brain.Event:2".into());
        events.write(&Event { wall_time, step: 0, what: Some(what) })?;
        Ok(events)
    }

    /// Goes on with a file that was started before.
    pub fn resume(writer: W) -> Self {
        EventWriter { records: RecordWriter::new(writer) }
    }

    /// Writes numbers, each with its tag.
    ///
    /// # Errors
    /// What writing gave.
    pub fn scalars(&mut self, when: When, values: &[(&str, f32)]) -> Result<()> {
        let value = |&(tag, value): &(&str, f32)| named(tag, Kind::SimpleValue(value));
        self.summary(when, values.iter().map(value).collect())
    }

    /// Writes the histogram of `values`.
    ///
    /// # Errors
    /// What writing gave.
    pub fn histogram(&mut self, when: When, tag: &str, values: &[f32]) -> Result<()> {
        self.summary(when, vec![named(tag, Kind::Histo(histogram(values)))])
    }

    /// Writes an image of `[height, width]` pixels, encoded as RGB PNG.
    ///
    /// # Errors
    /// What writing gave.
    pub fn image(&mut self, when: When, tag: &str, size: [u32; 2], png: Vec<u8>) -> Result<()> {
        let [height, width] = size.map(|side| i32::try_from(side).unwrap_or(i32::MAX));
        let image = Image { height, width, colorspace: 3, encoded_image_string: png };
        self.summary(when, vec![named(tag, Kind::Image(image))])
    }

    /// Says that a run goes on with `when.step`: what was written of it and of later steps before
    /// no longer holds, and TensorBoard leaves it out.
    ///
    /// # Errors
    /// What writing gave.
    pub fn restart(&mut self, when: When) -> Result<()> {
        let log = SessionLog { status: SessionStatus::Start.into() };
        let When { step, wall_time } = when;
        self.write(&Event { wall_time, step, what: Some(What::SessionLog(log)) })
    }

    fn summary(&mut self, when: When, value: Vec<Value>) -> Result<()> {
        let When { step, wall_time } = when;
        self.write(&Event { wall_time, step, what: Some(What::Summary(Summary { value })) })
    }

    /// Writes any event.
    ///
    /// # Errors
    /// What writing gave.
    pub fn write(&mut self, event: &Event) -> Result<()> {
        self.records.write(&event.encode_to_vec())
    }

    /// Flushes the inner writer.
    ///
    /// # Errors
    /// What flushing gave.
    pub fn flush(&mut self) -> Result<()> {
        self.records.flush()
    }
}

fn named(tag: &str, kind: Kind) -> Value {
    Value { tag: tag.to_owned(), kind: Some(kind) }
}
