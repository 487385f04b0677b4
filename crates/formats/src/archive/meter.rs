//! Readers that count, and stop a bomb before it spreads.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::Limits;

/// Up to here any ratio of compression is accepted: zeros compress well.
const FREE_BYTES: u64 = 16 << 20;

/// Counts the bytes read from the compressed stream.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// Lets decompressed bytes through while the archive stays within its limits.
pub(super) struct Metered<R> {
    pub(super) inner: R,
    /// Bytes that may be read before somebody must refill this: bounds headers, which the `tar`
    /// crate gathers in memory.
    pub(super) allowance: Rc<Cell<u64>>,
    pub(super) compressed: Rc<Cell<u64>>,
    pub(super) total: u64,
    pub(super) limits: Limits,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.total += read as u64;
        let Some(left) = self.allowance.get().checked_sub(read as u64) else {
            return Err(Bomb::Headers.into());
        };
        self.allowance.set(left);
        if self.total > self.limits.archive_bytes {
            return Err(Bomb::Bytes(self.limits.archive_bytes).into());
        }
        let allowed = self.compressed.get().saturating_mul(self.limits.archive_ratio);
        if self.total > FREE_BYTES && self.total > allowed {
            return Err(Bomb::Ratio(self.limits.archive_ratio).into());
        }
        Ok(read)
    }
}

/// Which limit an archive ran into, carried through `io::Error`.
#[derive(Debug)]
pub(super) enum Bomb {
    Headers,
    Bytes(u64),
    Ratio(u64),
}

impl std::fmt::Display for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bomb::Headers => f.write_str("the headers of an entry are too long"),
            Bomb::Bytes(limit) => write!(f, "the archive holds more than {limit} bytes"),
            Bomb::Ratio(limit) => write!(f, "the archive expands more than {limit} times"),
        }
    }
}

impl std::error::Error for Bomb {}

impl From<Bomb> for io::Error {
    fn from(bomb: Bomb) -> Self {
        io::Error::other(bomb)
    }
}
