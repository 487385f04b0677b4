//! Writes a table byte for byte as TensorFlow does: uncompressed, restart every 16 entries, shortened
//! index keys.

use super::{BlockHandle, FOOTER_BYTES, MAGIC};
use crate::wire::push_varint;
use crate::{Error, ErrorKind, Result, checksum};

/// A data block is closed once it is this long.
const BLOCK_BYTES: usize = 256 << 10;

/// A key is stored whole every so many entries, so that a reader can start there.
const RESTART_INTERVAL: usize = 16;

/// Collects entries in ascending order of key.
#[derive(Default)]
pub(crate) struct TableWriter {
    file: Vec<u8>,
    data: BlockWriter,
    index: Vec<(Vec<u8>, BlockHandle)>,
    /// The block that waits for the next key to choose its index key.
    pending: Option<BlockHandle>,
    last_key: Vec<u8>,
    entries: usize,
}

impl TableWriter {
    /// Appends an entry.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] when `key` is not greater than the key before it.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.entries > 0 && key <= self.last_key.as_slice() {
            let key = String::from_utf8_lossy(key).into_owned();
            let message = format!("key `{}` is out of order", key.escape_debug());
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        if let Some(handle) = self.pending.take() {
            self.index.push((separator(&self.last_key, key), handle));
        }
        self.data.add(key, value);
        self.last_key = key.to_vec();
        self.entries += 1;
        if self.data.len() >= BLOCK_BYTES {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.data.is_empty() {
            let block = std::mem::take(&mut self.data);
            self.pending = Some(self.append(block));
        }
    }

    fn append(&mut self, block: BlockWriter) -> BlockHandle {
        let contents = block.finish();
        let handle = BlockHandle { offset: self.file.len() as u64, size: contents.len() as u64 };
        let start = self.file.len();
        self.file.extend(contents);
        self.file.push(0);
        let crc = checksum::masked_crc32c(self.file.get(start..).unwrap_or_default());
        self.file.extend(crc.to_le_bytes());
        handle
    }

    /// The bytes of the file.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.flush();
        if let Some(handle) = self.pending.take() {
            self.index.push((successor(&self.last_key), handle));
        }
        let metaindex = self.append(BlockWriter::default());
        let mut index = BlockWriter { interval: 1, ..Default::default() };
        for (key, handle) in std::mem::take(&mut self.index) {
            index.add(&key, &encode_handle(handle));
        }
        let index = self.append(index);
        let mut footer = encode_handle(metaindex);
        footer.extend(encode_handle(index));
        footer.resize(FOOTER_BYTES - 8, 0);
        self.file.extend(footer);
        self.file.extend(MAGIC.to_le_bytes());
        self.file
    }
}

/// One block under construction.
struct BlockWriter {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    last_key: Vec<u8>,
    since_restart: usize,
    interval: usize,
}

impl Default for BlockWriter {
    fn default() -> Self {
        BlockWriter {
            bytes: Vec::new(),
            restarts: vec![0],
            last_key: Vec::new(),
            since_restart: 0,
            interval: RESTART_INTERVAL,
        }
    }
}

impl BlockWriter {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The length the finished block would have now.
    fn len(&self) -> usize {
        self.bytes.len() + 4 * self.restarts.len() + 4
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut shared = 0;
        if self.since_restart < self.interval {
            shared = common_prefix(&self.last_key, key);
        } else {
            self.restarts.push(self.bytes.len() as u32);
            self.since_restart = 0;
        }
        let unshared = key.get(shared..).unwrap_or_default();
        push_varint(&mut self.bytes, shared as u64);
        push_varint(&mut self.bytes, unshared.len() as u64);
        push_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(unshared);
        self.bytes.extend_from_slice(value);
        self.last_key = key.to_vec();
        self.since_restart += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        for restart in &self.restarts {
            self.bytes.extend(restart.to_le_bytes());
        }
        self.bytes.extend((self.restarts.len() as u32).to_le_bytes());
        self.bytes
    }
}

fn encode_handle(handle: BlockHandle) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_varint(&mut bytes, handle.offset);
    push_varint(&mut bytes, handle.size);
    bytes
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A short key `k` with `start <= k < limit`, as LevelDB chooses it.
fn separator(start: &[u8], limit: &[u8]) -> Vec<u8> {
    let shared = common_prefix(start, limit);
    if let (Some(&byte), Some(&above)) = (start.get(shared), limit.get(shared))
        && byte < 0xff
        && byte + 1 < above
    {
        let mut key = start.get(..shared).unwrap_or_default().to_vec();
        key.push(byte + 1);
        return key;
    }
    start.to_vec()
}

/// A short key `k` with `k >= key`, as LevelDB chooses it.
fn successor(key: &[u8]) -> Vec<u8> {
    match key.iter().position(|&byte| byte != 0xff) {
        Some(at) => {
            let mut short = key.get(..=at).unwrap_or_default().to_vec();
            if let Some(last) = short.last_mut() {
                *last += 1;
            }
            short
        }
        None => key.to_vec(),
    }
}
