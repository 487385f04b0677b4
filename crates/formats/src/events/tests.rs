//! Event files written, and read back as records.

use super::messages::{Event, SessionLog, What, summary::Kind};
use super::*;
use crate::tfrecord::RecordWriter;
use crate::{ErrorKind, Limits};

fn read(file: &[u8]) -> Vec<Event> {
    let mut reader = EventReader::new(file, &Limits::default()).unwrap();
    std::iter::from_fn(|| reader.next_event().unwrap()).collect()
}

#[test]
fn a_file_starts_with_its_version_and_goes_on_with_events() {
    let when = When { step: 3, wall_time: 1.5e9 };
    let mut file = Vec::new();
    let mut writer = EventWriter::new(&mut file, 1.5e9).unwrap();
    writer.scalars(when, &[("loss", 0.5), ("accuracy", 0.75)]).unwrap();
    let mut writer = EventWriter::resume(&mut file);
    writer.histogram(when, "weights", &[1.0, -1.0]).unwrap();
    writer.image(when, "mistakes", [2, 3], vec![0x89]).unwrap();
    writer.restart(when).unwrap();
    let events = read(&file);
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
    assert!(events[1..].iter().all(|event| event.step == 3 && event.wall_time == 1.5e9));
    let values: Vec<_> = events[1..]
        .iter()
        .flat_map(|event| match &event.what {
            Some(What::Summary(summary)) => summary.value.clone(),
            _ => vec![],
        })
        .collect();
    let tags: Vec<_> = values.iter().map(|value| value.tag.as_str()).collect();
    assert_eq!(tags, ["loss", "accuracy", "weights", "mistakes"]);
    assert_eq!(values[1].kind, Some(Kind::SimpleValue(0.75)));
    assert!(matches!(&values[3].kind, Some(Kind::Image(image)) if image.width == 3));
    let last = events.last().and_then(|event| event.what.clone());
    assert_eq!(last, Some(What::SessionLog(SessionLog { status: 1 })));
}

#[test]
fn a_record_that_is_no_event_says_where_it_is() {
    let mut file = Vec::new();
    EventWriter::new(&mut file, 0.0).unwrap();
    RecordWriter::new(&mut file).write(b"\x0a\xff").unwrap();
    let mut reader = EventReader::new(file.as_slice(), &Limits::default()).unwrap();
    assert!(reader.next_event().unwrap().is_some());
    let error = reader.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().starts_with("record at byte "), "{error}");
}

#[test]
fn the_first_record_is_tensorflow_s_byte_for_byte() {
    let mut file = Vec::new();
    EventWriter::new(&mut file, 0.0).unwrap();
    // Length 15 and its checksum as in any event file whose first event has wall_time 0.
    assert_eq!(&file[..8], 15u64.to_le_bytes());
    assert_eq!(&file[12..27], b"\x1a\x0dbrain.Event:2");
}

#[test]
fn every_value_is_in_the_bucket_that_holds_it() {
    let values = [-3.5f32, -1e-13, 0.0, 1e-13, 0.5, 0.5, 7e30, f32::NAN, f32::INFINITY];
    let histogram = histogram(&values);
    assert_eq!(histogram.num, 7.0);
    assert_eq!(histogram.bucket.iter().sum::<f64>(), 7.0);
    assert!(histogram.bucket_limit.is_sorted());
    assert_eq!(histogram.bucket_limit.len(), histogram.bucket.len());
    for value in [-3.5f64, 0.5] {
        let at = histogram.bucket_limit.partition_point(|&limit| limit <= value);
        assert!(histogram.bucket[at] > 0.0, "{value}");
    }
    assert_eq!((histogram.min, histogram.max), (-3.5, f64::from(7e30f32)));
    assert_eq!(super::histogram(&[]).num, 0.0);
}
