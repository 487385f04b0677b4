//! Strings in a bundle: all lengths, a checksum of the lengths, all bytes.

use crate::wire::{Cursor, push_varint};
use crate::{Error, ErrorKind, Limits, Result, TensorData, checksum};

/// Decodes and verifies `count` strings.
pub(super) fn decode(
    bytes: &[u8],
    count: usize,
    stored_crc: u32,
    limits: &Limits,
) -> Result<TensorData> {
    Limits::check("strings of the tensor", count as u64, limits.tensor_strings as u64)?;
    // Every length takes a byte, so the count is checked before it sizes anything.
    Limits::check("strings in the entry", count as u64, bytes.len() as u64)?;
    let mut cursor = Cursor::new(bytes);
    let lens = (0..count).map(|_| cursor.varint_len()).collect::<Result<Vec<_>>>()?;
    let lengths_crc = u32::from_le_bytes(cursor.array()?);
    let crc = lens.iter().fold(0, |crc, &len| append_len(crc, len));
    checksum::verify_value(checksum::mask(crc), lengths_crc)?;
    let crc = crc32c::crc32c_append(crc, &lengths_crc.to_le_bytes());
    let text = cursor.take(bytes.len() - cursor.position())?;
    checksum::verify_value(checksum::mask(crc32c::crc32c_append(crc, text)), stored_crc)?;
    split(text, &lens)
}

fn split(text: &[u8], lens: &[usize]) -> Result<TensorData> {
    let mut cursor = Cursor::new(text);
    let strings = lens.iter().map(|&len| cursor.take(len).map(<[u8]>::to_vec));
    let strings = strings.collect::<Result<Vec<_>>>()?;
    if !cursor.is_empty() {
        return Err(Error::new(ErrorKind::Mismatch, "bytes after the last string"));
    }
    Ok(TensorData::String(strings))
}

/// The bytes of an entry of strings, and its masked checksum.
pub(super) fn encode(strings: &[Vec<u8>]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::new();
    let mut crc = 0;
    for string in strings {
        push_varint(&mut bytes, string.len() as u64);
        crc = append_len(crc, string.len());
    }
    let lengths_crc = checksum::mask(crc).to_le_bytes();
    bytes.extend(lengths_crc);
    crc = crc32c::crc32c_append(crc, &lengths_crc);
    for string in strings {
        bytes.extend_from_slice(string);
        crc = crc32c::crc32c_append(crc, string);
    }
    (bytes, checksum::mask(crc))
}

/// A length enters the checksum as a fixed-width number: four bytes where they suffice, else eight.
fn append_len(crc: u32, len: usize) -> u32 {
    match u32::try_from(len) {
        Ok(len) => crc32c::crc32c_append(crc, &len.to_le_bytes()),
        Err(_) => crc32c::crc32c_append(crc, &(len as u64).to_le_bytes()),
    }
}
