//! Records written and read, TensorFlow's own bytes, and damaged files.

use std::io::Write as _;

use prost::Message as _;

use super::example::Example;
use super::*;
use crate::{ErrorKind, Limits, Result};

fn written(records: &[&[u8]]) -> Vec<u8> {
    let mut writer = RecordWriter::new(Vec::new());
    records.iter().for_each(|record| writer.write(record).unwrap());
    writer.into_inner()
}

fn read(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut reader = RecordReader::new(file, &Limits::default())?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record.to_vec());
    }
    Ok(records)
}

#[test]
fn records_round_trip() {
    let records = [&b"one"[..], b"", &[7; 100_000]];
    assert_eq!(read(&written(&records)).unwrap(), records);
    assert_eq!(read(b"").unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn compressed_records_are_told_by_their_content() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&written(&[b"one", b"two"])).unwrap();
    assert_eq!(read(&gzip.finish().unwrap()).unwrap(), [b"one", b"two"]);
    // A record whose length starts like a gzip.
    let record = vec![1; 0x8b1f];
    assert_eq!(read(&written(&[&record])).unwrap(), [record]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = written(&[b"some data", b"more"]);
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_truncated_record_says_where_it_starts() {
    let file = written(&[b"some data", b"more"]);
    for len in 0..file.len() {
        match read(&file[..len]) {
            Ok(records) => assert!(len == 0 && records.is_empty() || len == 25),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Truncated),
        }
    }
    let error = read(&file[..30]).unwrap_err();
    assert!(error.to_string().starts_with("record at byte 25: "), "{error}");
}

#[test]
fn a_giant_length_is_refused_before_it_allocates() {
    let mut file = u64::MAX.to_le_bytes().to_vec();
    file.extend(crate::checksum::masked_crc32c(&file).to_le_bytes());
    assert_eq!(read(&file).unwrap_err().kind(), ErrorKind::Limit);
    let mut file = (100u64 << 20).to_le_bytes().to_vec();
    file.extend(crate::checksum::masked_crc32c(&file).to_le_bytes());
    file.push(0);
    assert_eq!(read(&file).unwrap_err().kind(), ErrorKind::Truncated);
}

#[test]
fn an_example_round_trips() {
    let example = Example::default()
        .with_bytes("image/encoded", vec![vec![0xff, 0xd8].into()])
        .with_floats("bbox", vec![0.5])
        .with_ints("image/class/label", vec![281]);
    let read = Example::decode_record(example.encode_to_vec(), &Limits::default()).unwrap();
    assert_eq!(read, example);
    assert_eq!(read.one_int("image/class/label").unwrap(), 281);
    assert_eq!(read.one_bytes("image/encoded").unwrap().as_ref(), [0xff, 0xd8]);
    assert_eq!(read.floats("bbox"), [0.5]);
    let record = example.encode_to_vec();
    let (read, places) = Example::decode_places(record.clone(), &Limits::default()).unwrap();
    let place = places.of(read.one_bytes("image/encoded").unwrap()).unwrap();
    assert_eq!(record[place], [0xff, 0xd8]);
    assert_eq!(places.of(&vec![0xff, 0xd8].into()), None);
    let error = read.one_int("label").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("image/class/label"), "{error}");
}
