//! Tables written and read, snappy blocks, and hostile tables built by hand.

use super::*;
use crate::{ErrorKind, Limits, Result, checksum};

fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut entries = Vec::new();
    Table::open(bytes, limits)?.for_each(|key, value| {
        entries.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(entries)
}

fn kind(bytes: &[u8], limits: &Limits) -> ErrorKind {
    read(bytes, limits).unwrap_err().kind()
}

fn entry(shared: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![shared, key.len() as u8, value.len() as u8];
    bytes.extend(key);
    bytes.extend(value);
    bytes
}

/// A block of `entries` with one restart point.
fn block(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    bytes
}

/// A table of these data blocks, each with its compression type.
fn table(blocks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut append = |kind: u8, contents: &[u8]| {
        let handle = [file.len() as u8, contents.len() as u8];
        file.extend(contents);
        file.push(kind);
        let crc = checksum::masked_crc32c(&file[file.len() - contents.len() - 1..]);
        file.extend(crc.to_le_bytes());
        handle
    };
    let handles: Vec<_> = blocks.iter().map(|(kind, block)| append(*kind, block)).collect();
    let metaindex = append(0, &block(&[]));
    let index: Vec<_> = handles.iter().map(|handle| entry(0, b"z", handle)).collect();
    let index = append(0, &block(&index));
    file.extend(metaindex);
    file.extend(index);
    file.extend([0; FOOTER_BYTES - 12]);
    file.extend(MAGIC.to_le_bytes());
    file
}

#[test]
fn many_blocks_come_back_in_order() {
    let entries: Vec<_> = (0..3000u32)
        .map(|i| {
            (format!("scope/{:06}/name", i * 7).into_bytes(), vec![i as u8; (i % 400) as usize])
        })
        .collect();
    let mut writer = TableWriter::default();
    for (key, value) in &entries {
        writer.add(key, value).unwrap();
    }
    let file = writer.finish();
    assert!(file.len() > 512 << 10, "several blocks");
    assert_eq!(read(&file, &Limits::default()).unwrap(), entries);
}

#[test]
fn an_empty_table_has_no_entries() {
    let file = TableWriter::default().finish();
    assert_eq!(read(&file, &Limits::default()).unwrap(), []);
}

#[test]
fn keys_must_ascend_when_written() {
    let mut writer = TableWriter::default();
    writer.add(b"b", b"").unwrap();
    for key in [&b"b"[..], b"a", b""] {
        assert_eq!(writer.add(key, b"").unwrap_err().kind(), ErrorKind::Mismatch);
    }
}

#[test]
fn shared_prefixes_and_snappy_blocks_are_undone() {
    let plain = block(&[entry(0, b"abc", b"1"), entry(2, b"d", b"2")]);
    let snappy = block(&[entry(0, b"b", &[7; 90])]);
    let snappy = snap::raw::Encoder::new().compress_vec(&snappy).unwrap();
    let entries = read(&table(&[(0, plain), (1, snappy)]), &Limits::default()).unwrap();
    let keys: Vec<_> = entries.iter().map(|(key, _)| key.as_slice()).collect();
    assert_eq!(keys, [&b"abc"[..], b"abd", b"b"]);
    assert_eq!(entries[2].1, [7; 90]);
}

#[test]
fn every_flipped_bit_is_an_error_or_harmless() {
    let plain = block(&[entry(0, b"abc", b"1"), entry(2, b"d", b"2")]);
    let file = table(&[(0, plain)]);
    let whole = read(&file, &Limits::default()).unwrap();
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // The metaindex and the footer's padding are not read; everything else is noticed.
        if let Ok(entries) = read(&damaged, &Limits::default()) {
            assert_eq!(entries, whole);
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let file = table(&[(0, block(&[entry(0, b"abc", b"1")]))]);
    for len in 0..file.len() {
        assert!(read(&file[..len], &Limits::default()).is_err());
    }
    assert_eq!(kind(b"<!DOCTYPE html>", &Limits::default()), ErrorKind::Truncated);
    assert_eq!(kind(&[0; 100], &Limits::default()), ErrorKind::Malformed);
}

#[test]
fn a_snappy_bomb_is_refused_before_it_expands() {
    // The length says 4 GiB.
    let bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(kind(&table(&[(1, bomb)]), &Limits::default()), ErrorKind::Limit);
}

#[test]
fn unknown_compression_is_unsupported() {
    assert_eq!(kind(&table(&[(9, block(&[]))]), &Limits::default()), ErrorKind::Unsupported);
}

#[test]
fn keys_out_of_order_or_shared_beyond_the_last_are_refused() {
    let disordered = block(&[entry(0, b"b", b""), entry(0, b"a", b"")]);
    assert_eq!(kind(&table(&[(0, disordered)]), &Limits::default()), ErrorKind::Malformed);
    let oversharing = block(&[entry(0, b"b", b""), entry(2, b"a", b"")]);
    assert_eq!(kind(&table(&[(0, oversharing)]), &Limits::default()), ErrorKind::Malformed);
    let one = block(&[entry(0, b"b", b"")]);
    let twice = table(&[(0, one.clone()), (0, one)]);
    assert_eq!(kind(&twice, &Limits::default()), ErrorKind::Malformed);
}

#[test]
fn entries_and_restarts_beyond_the_block_are_refused() {
    let long = vec![0, 200, 0, b'k', 0, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(kind(&table(&[(0, long)]), &Limits::default()), ErrorKind::Truncated);
    let restarts = vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(kind(&table(&[(0, restarts)]), &Limits::default()), ErrorKind::Truncated);
    let varint = [vec![0xff; 11], vec![0, 0, 0, 0, 1, 0, 0, 0]].concat();
    assert_eq!(kind(&table(&[(0, varint)]), &Limits::default()), ErrorKind::Malformed);
}

#[test]
fn entry_and_key_limits_hold() {
    let file = table(&[(0, block(&[entry(0, b"aa", b""), entry(0, b"bb", b"")]))]);
    let few = Limits { table_entries: 1, ..Default::default() };
    let short = Limits { table_key_bytes: 3, ..Default::default() };
    assert_eq!(kind(&file, &few), ErrorKind::Limit);
    assert_eq!(kind(&file, &short), ErrorKind::Limit);
}
