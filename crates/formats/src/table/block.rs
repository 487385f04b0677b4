//! One block of a table: checksum, compression, and its entries with shared prefixes undone.

use std::borrow::Cow;

use super::{BlockHandle, TRAILER_BYTES};
use crate::error::Within as _;
use crate::wire::Cursor;
use crate::{Error, ErrorKind, Limits, Result, checksum};

/// Longest key accepted, in bytes.
const MAX_KEY_BYTES: usize = 64 << 10;

/// The verified and decompressed block at `handle` of the file `bytes`.
pub(super) fn load<'a>(
    bytes: &'a [u8],
    handle: BlockHandle,
    limits: &Limits,
) -> Result<Cow<'a, [u8]>> {
    let place = || format!("block at byte {} of {} bytes", handle.offset, handle.size);
    Limits::check("bytes of the block", handle.size, limits.table_block_bytes).within(place)?;
    stored(bytes, handle).and_then(|stored| unpack(stored, limits)).within(place)
}

/// The block with its trailer as it is in the file.
fn stored(bytes: &[u8], handle: BlockHandle) -> Result<&[u8]> {
    let range = || {
        let start = usize::try_from(handle.offset).ok()?;
        let len = usize::try_from(handle.size).ok()?.checked_add(TRAILER_BYTES)?;
        bytes.get(start..start.checked_add(len)?)
    };
    range().ok_or_else(|| {
        let message =
            format!("the block does not lie within the {} bytes of the file", bytes.len());
        Error::new(ErrorKind::Truncated, message)
    })
}

fn unpack<'a>(stored: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>> {
    let Some((covered, &crc)) = stored.split_last_chunk::<4>() else {
        return Err(Error::new(ErrorKind::Truncated, "no checksum"));
    };
    checksum::verify(covered, u32::from_le_bytes(crc))?;
    match covered.split_last() {
        Some((0, block)) => Ok(Cow::Borrowed(block)),
        Some((1, block)) => unsnap(block, limits).map(Cow::Owned),
        Some((other, _)) => {
            Err(Error::new(ErrorKind::Unsupported, format!("block compression type {other}")))
        }
        None => Err(Error::new(ErrorKind::Truncated, "no block type")),
    }
}

fn unsnap(block: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let malformed = |error: snap::Error| {
        Error::new(ErrorKind::Malformed, format!("snappy: {error}")).caused_by(error)
    };
    let len = snap::raw::decompress_len(block).map_err(malformed)? as u64;
    Limits::check("bytes of the decompressed block", len, limits.table_block_bytes)?;
    snap::raw::Decoder::new().decompress_vec(block).map_err(malformed)
}

/// The entries of a block, one at a time; the key lives until the next.
pub(super) struct Entries<'a> {
    cursor: Cursor<'a>,
    key: Vec<u8>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(block: &'a [u8]) -> Result<Self> {
        let truncated = || Error::new(ErrorKind::Truncated, "the block has no restart points");
        let (rest, &count) = block.split_last_chunk::<4>().ok_or_else(truncated)?;
        let restarts = (u32::from_le_bytes(count) as usize).checked_mul(4);
        let end = restarts.and_then(|restarts| rest.len().checked_sub(restarts));
        let entries = end.and_then(|end| rest.get(..end)).ok_or_else(truncated)?;
        Ok(Entries { cursor: Cursor::new(entries), key: Vec::new() })
    }

    /// The next key and value, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], &'a [u8])>> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        let at = self.cursor.position() as u64;
        let value = self.step().within(|| format!("entry at byte {at} of the block"))?;
        Ok(Some((&self.key, value)))
    }

    fn step(&mut self) -> Result<&'a [u8]> {
        let shared = self.cursor.varint_len()?;
        let unshared = self.cursor.varint_len()?;
        let value = self.cursor.varint_len()?;
        if shared > self.key.len() {
            let message = format!("shares {shared} bytes with a key of {}", self.key.len());
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(self.cursor.take(unshared)?);
        Limits::check("bytes of a key", self.key.len() as u64, MAX_KEY_BYTES as u64)?;
        self.cursor.take(value)
    }
}
