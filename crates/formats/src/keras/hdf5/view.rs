//! The bytes of an HDF5 file, views into them at checked places, and what may still be spent.

use std::cell::Cell;

use crate::{Error, ErrorKind, Limits, Result};

/// A whole file: its bytes, its widths, and budgets that every object and every decompressed byte
/// is taken from.
pub(super) struct File<'a> {
    bytes: &'a [u8],
    pub(super) limits: &'a Limits,
    pub(super) base: u64,
    offset_width: usize,
    length_width: usize,
    nodes: Cell<u64>,
    data: Cell<u64>,
}

impl<'a> File<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        let by_ratio = (bytes.len() as u64).saturating_mul(limits.archive_ratio);
        Self {
            bytes,
            limits,
            base: 0,
            offset_width: 8,
            length_width: 8,
            nodes: Cell::new((limits.archive_entries as u64).saturating_mul(16)),
            data: Cell::new(by_ratio.max(16 << 20).min(limits.archive_bytes)),
        }
    }

    pub(super) fn set_widths(&mut self, offsets: u8, lengths: u8) -> Result<()> {
        let fits = |width: u8| matches!(width, 2 | 4 | 8);
        if !fits(offsets) || !fits(lengths) {
            let message = format!("offsets of {offsets} bytes and lengths of {lengths}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        (self.offset_width, self.length_width) = (offsets.into(), lengths.into());
        Ok(())
    }

    /// A view from a position in the file.
    pub(super) fn absolute(&self, position: usize) -> View<'a> {
        View {
            bytes: self.bytes,
            at: position,
            offset_width: self.offset_width,
            length_width: self.length_width,
        }
    }

    /// A view from an address, which counts from the base.
    pub(super) fn view(&self, address: u64) -> Result<View<'a>> {
        let position = address.checked_add(self.base).and_then(|at| usize::try_from(at).ok());
        match position {
            Some(at) if at < self.bytes.len() => Ok(self.absolute(at)),
            _ => {
                let message = format!("address {address} lies outside the file");
                Err(Error::new(ErrorKind::Malformed, message))
            }
        }
    }

    /// A view from an address where the block with this signature must begin.
    pub(super) fn block(&self, address: u64, signature: &[u8; 4]) -> Result<View<'a>> {
        let mut view = self.view(address)?;
        if view.take(4)? != signature {
            let message = format!("expected `{}`", signature.escape_ascii());
            return Err(Error::new(ErrorKind::Malformed, message).offset(address));
        }
        Ok(view)
    }

    /// Takes one object, block or message off the budget.
    pub(super) fn count_node(&self) -> Result<()> {
        spend(&self.nodes, 1, "the file has more objects than the limit allows")
    }

    /// Takes bytes about to be decoded off the budget.
    pub(super) fn count_data(&self, bytes: usize) -> Result<()> {
        spend(&self.data, bytes as u64, "the file's data is larger than the limit allows")
    }
}

fn spend(budget: &Cell<u64>, amount: u64, message: &str) -> Result<()> {
    let left = budget.get().checked_sub(amount);
    budget.set(left.ok_or_else(|| Error::new(ErrorKind::Limit, message))?);
    Ok(())
}

/// A stretch of bytes read from the front.
#[derive(Clone)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    at: usize,
    offset_width: usize,
    length_width: usize,
}

impl<'a> View<'a> {
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| {
            let message = format!("need {count} bytes, have {}", self.remaining());
            Error::new(ErrorKind::Truncated, message).offset(self.at as u64)
        })?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        self.take(count).map(|_| ())
    }

    /// The next `count` bytes as a view of their own; positions stay those of the file.
    pub(super) fn sub(&mut self, count: usize) -> Result<View<'a>> {
        let at = self.at;
        self.take(count)?;
        let bytes = self.bytes.get(..self.at).unwrap_or_default();
        Ok(View { bytes, at, ..*self })
    }

    /// A view of other bytes, with the widths of this file.
    pub(super) fn over<'b>(&self, bytes: &'b [u8]) -> View<'b> {
        View { bytes, at: 0, offset_width: self.offset_width, length_width: self.length_width }
    }

    fn number(&mut self, width: usize) -> Result<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.number(1)? as u8)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(self.number(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(self.number(4)? as u32)
    }

    /// A number of 1, 2, 4 or 8 bytes, by the two low bits of a flag byte.
    pub(super) fn sized(&mut self, flags: u8) -> Result<usize> {
        let number = self.number(1 << (flags & 3))?;
        self.fit(number)
    }

    /// A length.
    pub(super) fn length(&mut self) -> Result<usize> {
        let number = self.number(self.length_width)?;
        self.fit(number)
    }

    /// An address; `None` if undefined (all ones).
    pub(super) fn address(&mut self) -> Result<Option<u64>> {
        let undefined = u64::MAX >> (64 - 8 * self.offset_width);
        Ok(Some(self.number(self.offset_width)?).filter(|&address| address != undefined))
    }

    /// An address that must be there.
    pub(super) fn pointer(&mut self) -> Result<u64> {
        let at = self.at as u64;
        self.address()?
            .ok_or_else(|| Error::new(ErrorKind::Malformed, "an undefined address").offset(at))
    }

    pub(super) fn offset_width(&self) -> usize {
        self.offset_width
    }

    fn fit(&self, number: u64) -> Result<usize> {
        usize::try_from(number).map_err(|_| {
            let message = format!("a length of {number} bytes");
            Error::new(ErrorKind::Malformed, message).offset(self.at as u64)
        })
    }

    /// The text up to the first NUL, which is stepped over.
    pub(super) fn c_string(&mut self) -> Result<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == 0).ok_or_else(|| {
            Error::new(ErrorKind::Truncated, "a name without an end").offset(self.at as u64)
        })?;
        let text = self.take(len)?.to_vec();
        self.skip(1)?;
        utf8(text, self.at)
    }

    /// A text of `len` bytes, without the NULs at its end.
    pub(super) fn string(&mut self, len: usize) -> Result<String> {
        let mut text = self.take(len)?.to_vec();
        text.truncate(text.iter().position(|&byte| byte == 0).unwrap_or(len));
        utf8(text, self.at)
    }
}

fn utf8(text: Vec<u8>, at: usize) -> Result<String> {
    String::from_utf8(text)
        .map_err(|_| Error::new(ErrorKind::Malformed, "a name is not UTF-8").offset(at as u64))
}
