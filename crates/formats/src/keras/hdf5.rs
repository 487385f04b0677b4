//! HDF5, as far as Keras uses it: groups, datasets and attributes, read whole.
//!
//! Holds the byte layout and [`read`], which gives a tree of [`Group`]s. Reads superblocks 0 to 3,
//! object headers 1 and 2, groups as symbol tables or compact links, contiguous, compact and
//! chunked data (B-tree), deflate, shuffle and Fletcher-32 filters, numbers, fixed and variable
//! strings. What Keras never writes (dense groups, references, compounds, newer chunk indexes,
//! soft links to follow) is refused by name; soft and external links are passed over.
//!
//! # Layout
//!
//! Little-endian; `O` and `L` are as wide as the superblock says. Addresses count from the base.
//!
//! ```text
//! superblock    89 "HDF" 0D 0A 1A 0A | version … address of the root's object header
//! header 1      version | messages u16 | references u32 | bytes u32 | pad 4 | messages
//! header 2      "OHDR" version flags … | messages | checksum;  continued in "OCHK" blocks
//! message       type, bytes, flags | data: dataspace 1, datatype 3, link 6, layout 8, filters 11,
//!               attribute 12, continuation 16, symbol table 17
//! group         B-tree "TREE" of nodes "SNOD" of (name in heap "HEAP", object header)
//! chunked data  B-tree "TREE" of (bytes, filter mask, offset in the dataset) -> chunk
//! vlen strings  (length u32, address O, index u32) into a collection "GCOL"
//! ```
//!
//! Every address is checked against the file; a group that contains itself, a tree whose levels do
//! not fall, too many objects or too much decompressed data are errors.

mod data;
mod group;
mod header;
mod view;

use std::collections::BTreeMap;

use crate::error::Within;
use crate::{Error, ErrorKind, Limits, Result, Tensor};
use view::File;

/// The first bytes of every file.
const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// A group: attributes and members by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// Small values attached to the group; strings as tensors of bytes.
    pub attributes: BTreeMap<String, Tensor>,
    /// What the group contains.
    pub members: BTreeMap<String, Member>,
}

/// What a group can contain.
#[derive(Debug, Clone, PartialEq)]
pub enum Member {
    /// Another group.
    Group(Group),
    /// A dataset, decoded.
    Dataset(Tensor),
}

impl Group {
    /// The group at `path` (`a/b`), itself for `""`.
    #[must_use]
    pub fn group(&self, path: &str) -> Option<&Group> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(self, |group, part| {
            match group.members.get(part) {
                Some(Member::Group(group)) => Some(group),
                _ => None,
            }
        })
    }

    /// The dataset at `path` (`a/b/kernel:0`).
    #[must_use]
    pub fn dataset(&self, path: &str) -> Option<&Tensor> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.group(folder)?.members.get(name) {
            Some(Member::Dataset(tensor)) => Some(tensor),
            _ => None,
        }
    }
}

/// Whether `bytes` begin like an HDF5 file.
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads a whole file.
///
/// # Errors
/// [`ErrorKind::Malformed`] or [`ErrorKind::Truncated`] with the byte where the file is wrong,
/// [`ErrorKind::Unsupported`] for what Keras does not write, [`ErrorKind::Limit`] beyond
/// `limits.file_bytes`, `tensor_bytes`, `rank`, `archive_entries` (objects), `archive_bytes` and
/// `archive_ratio` (decompressed data).
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Group> {
    Limits::check("bytes of the file", bytes.len() as u64, limits.file_bytes)
        .and_then(|()| superblock(bytes, limits))
        .and_then(|(file, root)| group::root(&file, root))
        .within(|| "hdf5")
}

/// Finds the widths of addresses and lengths, the base, and the root's object header.
fn superblock<'a>(bytes: &'a [u8], limits: &'a Limits) -> Result<(File<'a>, u64)> {
    let mut file = File::new(bytes, limits);
    let mut view = file.absolute(0);
    if view.take(8)? != SIGNATURE {
        return Err(
            Error::new(ErrorKind::Malformed, "the file does not begin with \\x89HDF").offset(0)
        );
    }
    let version = view.u8()?;
    // Before the addresses: widths and what else the version has. After base and free space: the
    // end of the file, in old versions a driver block, the root.
    let (skip_before, skip_after, skip_root) = match version {
        0 => (4, 9, true),
        1 => (4, 13, true),
        2 | 3 => (0, 1, false),
        _ => {
            let message = format!("superblock version {version}");
            return Err(Error::new(ErrorKind::Unsupported, message).offset(8));
        }
    };
    view.skip(skip_before)?;
    let (offsets, lengths) = (view.u8()?, view.u8()?);
    file.set_widths(offsets, lengths)?;
    view.skip(skip_after)?;
    let mut view = file.absolute(view.position());
    file.base = view.address()?.unwrap_or(0);
    view.address()?;
    let end = view.address()?.unwrap_or(0);
    if end > bytes.len() as u64 {
        let message = format!("the file ends at byte {} of {end}", bytes.len());
        return Err(Error::new(ErrorKind::Truncated, message));
    }
    // The driver block, and the offset of the root's own name.
    view.skip(if skip_root { 2 * usize::from(offsets) } else { 0 })?;
    let root = view.address()?;
    Ok((file, required(root)?))
}

fn required(address: Option<u64>) -> Result<u64> {
    address.ok_or_else(|| Error::new(ErrorKind::Malformed, "the file has no root group"))
}

#[cfg(test)]
mod tests;
