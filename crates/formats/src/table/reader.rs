//! Reads a whole table, block by block in order of key.

use super::block::{self, Entries};
use super::{BlockHandle, FOOTER_BYTES, MAGIC};
use crate::error::Within as _;
use crate::wire::Cursor;
use crate::{Error, ErrorKind, Limits, Result};

/// A table in memory; blocks are verified and decompressed when they are visited.
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    index: BlockHandle,
}

impl<'a> Table<'a> {
    /// Checks the footer.
    pub(crate) fn open(bytes: &'a [u8], limits: &'a Limits) -> Result<Self> {
        let Some((_, footer)) = bytes.split_last_chunk::<FOOTER_BYTES>() else {
            let message = format!("{} bytes are too few for a table's footer", bytes.len());
            return Err(Error::new(ErrorKind::Truncated, message));
        };
        let index = read_footer(footer).within(|| "footer")?;
        Ok(Table { bytes, limits, index })
    }

    /// Calls `visit` with every key and value in order.
    ///
    /// # Errors
    /// A damaged block, keys out of order (which also keeps blocks from being visited twice), more
    /// entries than the limit, or what `visit` gave.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        let mut order = Order { last: None, entries: 0, key_bytes: 0, limits: self.limits };
        let index = block::load(self.bytes, self.index, self.limits).within(|| "index")?;
        let mut handles = Entries::new(&index).within(|| "index")?;
        while let Some((_, value)) = handles.next().within(|| "index")? {
            let handle = read_handle(&mut Cursor::new(value)).within(|| "index")?;
            let block = block::load(self.bytes, handle, self.limits)?;
            let mut entries = Entries::new(&block)?;
            while let Some((key, value)) = entries.next()? {
                order.check(key)?;
                visit(key, value)?;
            }
        }
        Ok(())
    }
}

/// What must hold from one entry to the next, over the whole table.
struct Order<'a> {
    last: Option<Vec<u8>>,
    entries: usize,
    key_bytes: u64,
    limits: &'a Limits,
}

impl Order<'_> {
    fn check(&mut self, key: &[u8]) -> Result<()> {
        self.entries += 1;
        self.key_bytes += key.len() as u64;
        Limits::check(
            "entries of the table",
            self.entries as u64,
            self.limits.table_entries as u64,
        )?;
        Limits::check("bytes of all keys", self.key_bytes, self.limits.table_key_bytes)?;
        match &mut self.last {
            Some(last) if key <= last.as_slice() => {
                let key = String::from_utf8_lossy(key).into_owned();
                let message = format!("key `{}` is out of order", key.escape_debug());
                return Err(Error::new(ErrorKind::Malformed, message));
            }
            Some(last) => {
                last.clear();
                last.extend_from_slice(key);
            }
            None => self.last = Some(key.to_vec()),
        }
        Ok(())
    }
}

fn read_footer(footer: &[u8; FOOTER_BYTES]) -> Result<BlockHandle> {
    let mut cursor = Cursor::new(footer);
    read_handle(&mut cursor)?;
    let index = read_handle(&mut cursor)?;
    let mut tail = Cursor::new(footer);
    tail.take(FOOTER_BYTES - 8)?;
    if u64::from_le_bytes(tail.array()?) != MAGIC {
        return Err(Error::new(ErrorKind::Malformed, "not a sorted string table (wrong magic)"));
    }
    Ok(index)
}

fn read_handle(cursor: &mut Cursor<'_>) -> Result<BlockHandle> {
    Ok(BlockHandle { offset: cursor.varint()?, size: cursor.varint()? })
}
