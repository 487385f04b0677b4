//! Groups: what they contain and what is attached to them.

use super::data;
use super::header::{self, Message, kind};
use super::view::{File, View};
use super::{Group, Member};
use crate::error::Within;
use crate::{Error, ErrorKind, Result};

/// Groups inside groups.
const MAX_DEPTH: usize = 32;

/// The root group, and with it the whole file.
pub(super) fn root(file: &File<'_>, address: u64) -> Result<Group> {
    match member(file, address, &mut Vec::new())? {
        Some(Member::Group(group)) => Ok(group),
        _ => Err(Error::new(ErrorKind::Malformed, "the root is not a group").offset(address)),
    }
}

/// The object at `address`; `None` for what is neither group nor dataset (a named datatype).
fn member(file: &File<'_>, address: u64, above: &mut Vec<u64>) -> Result<Option<Member>> {
    if above.contains(&address) {
        return Err(Error::new(ErrorKind::Malformed, "a group contains itself").offset(address));
    }
    if above.len() >= MAX_DEPTH {
        return Err(Error::new(ErrorKind::Limit, "groups are nested too deeply").offset(address));
    }
    let messages = header::messages(file, address)?;
    let has = |kind: u16| messages.iter().any(|message| message.kind == kind);
    if has(kind::LAYOUT) {
        return data::dataset(file, &messages).map(Member::Dataset).map(Some);
    }
    if !has(kind::SYMBOL_TABLE) && !has(kind::LINK_INFO) && !has(kind::LINK) {
        return Ok(None);
    }
    above.push(address);
    let group = group(file, &messages, above);
    above.pop();
    group.map(Member::Group).map(Some)
}

fn group(file: &File<'_>, messages: &[Message<'_>], above: &mut Vec<u64>) -> Result<Group> {
    let mut links = Vec::new();
    let mut found = Group::default();
    for message in messages {
        let mut view = message.data.clone();
        match message.kind {
            kind::SYMBOL_TABLE => symbol_table(file, view, &mut links)?,
            kind::LINK => links.extend(link(view)?),
            kind::LINK_INFO => refuse_dense_links(view)?,
            kind::ATTRIBUTE_INFO => refuse_dense_attributes(view)?,
            kind::ATTRIBUTE => {
                let (name, value) = data::attribute(file, &mut view)?;
                found.attributes.insert(name, value);
            }
            _ => {}
        }
    }
    for (name, address) in links {
        let member = member(file, address, above).within(|| format!("`{name}`"))?;
        if let Some(member) = member
            && found.members.insert(name.clone(), member).is_some()
        {
            let message = format!("`{name}` is in a group twice");
            return Err(Error::new(ErrorKind::Malformed, message));
        }
    }
    Ok(found)
}

/// Name and object header of each member.
type Links = Vec<(String, u64)>;

/// A group of the old style: a B-tree of names, which are in a heap.
fn symbol_table(file: &File<'_>, mut view: View<'_>, links: &mut Links) -> Result<()> {
    let (tree, heap) = (view.pointer()?, view.pointer()?);
    let mut heap = file.block(heap, b"HEAP")?;
    heap.skip(4)?;
    let len = heap.length()?;
    heap.length()?;
    let names = file.view(heap.pointer()?)?.sub(len)?;
    group_node(file, tree, None, &names, links)
}

/// One node of the B-tree; each level below must be one less than the level above.
fn group_node(
    file: &File<'_>,
    address: u64,
    expected: Option<u8>,
    names: &View<'_>,
    links: &mut Links,
) -> Result<()> {
    file.count_node()?;
    let mut view = file.block(address, b"TREE")?;
    let (node_type, level) = (view.u8()?, view.u8()?);
    if node_type != 0 || expected.is_some_and(|expected| expected != level) || level > 32 {
        let message = format!("a node of type {node_type} and level {level} in a group");
        return Err(Error::new(ErrorKind::Malformed, message).offset(address));
    }
    let entries = view.u16()?;
    view.skip(2 * view.offset_width())?;
    for _ in 0..entries {
        view.length()?;
        let child = view.pointer()?;
        match level.checked_sub(1) {
            Some(below) => group_node(file, child, Some(below), names, links)?,
            None => symbol_node(file, child, names, links)?,
        }
    }
    Ok(())
}

/// A leaf: symbols with name and object header.
fn symbol_node(file: &File<'_>, address: u64, names: &View<'_>, links: &mut Links) -> Result<()> {
    let mut view = file.block(address, b"SNOD")?;
    view.skip(2)?;
    for _ in 0..view.u16()? {
        file.count_node()?;
        let mut name = names.clone();
        let offset = view.pointer()?;
        name.skip(usize::try_from(offset).unwrap_or(usize::MAX))?;
        let header = view.address()?;
        let cache_type = view.u32()?;
        view.skip(20)?;
        // A symbolic link has no object of its own.
        if let Some(header) = header.filter(|_| cache_type != 2) {
            links.push((name.c_string()?, header));
        }
    }
    Ok(())
}

/// A link of the new style; `None` unless it is a hard one.
fn link(mut view: View<'_>) -> Result<Option<(String, u64)>> {
    let (version, flags) = (view.u8()?, view.u8()?);
    if version != 1 {
        return Err(Error::new(ErrorKind::Unsupported, format!("version {version} of a link")));
    }
    let link_type = if flags & 8 != 0 { view.u8()? } else { 0 };
    view.skip(if flags & 4 != 0 { 8 } else { 0 })?;
    view.skip(if flags & 16 != 0 { 1 } else { 0 })?;
    let len = view.sized(flags)?;
    let name = view.string(len)?;
    if link_type != 0 {
        return Ok(None);
    }
    Ok(Some((name, view.pointer()?)))
}

fn refuse_dense_links(mut view: View<'_>) -> Result<()> {
    view.skip(1)?;
    let flags = view.u8()?;
    view.skip(if flags & 1 != 0 { 8 } else { 0 })?;
    refuse_heap(view, "links")
}

fn refuse_dense_attributes(mut view: View<'_>) -> Result<()> {
    view.skip(1)?;
    let flags = view.u8()?;
    view.skip(if flags & 1 != 0 { 2 } else { 0 })?;
    refuse_heap(view, "attributes")
}

fn refuse_heap(mut view: View<'_>, what: &str) -> Result<()> {
    match view.address()? {
        None => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::Unsupported, format!("{what} in a fractal heap"))
            .hint("write the file with h5py's default `libver`")),
    }
}
