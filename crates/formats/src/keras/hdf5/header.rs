//! Object headers: the list of messages that says what an object is.

use super::view::{File, View};
use crate::{Error, ErrorKind, Result};

/// One message: its type and data.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) data: View<'a>,
}

/// Message types read here or elsewhere.
pub(super) mod kind {
    pub(in super::super) const DATASPACE: u16 = 0x01;
    pub(in super::super) const LINK_INFO: u16 = 0x02;
    pub(in super::super) const DATATYPE: u16 = 0x03;
    pub(in super::super) const LINK: u16 = 0x06;
    pub(in super::super) const EXTERNAL_FILES: u16 = 0x07;
    pub(in super::super) const LAYOUT: u16 = 0x08;
    pub(in super::super) const FILTERS: u16 = 0x0b;
    pub(in super::super) const ATTRIBUTE: u16 = 0x0c;
    pub(in super::super) const CONTINUATION: u16 = 0x10;
    pub(in super::super) const SYMBOL_TABLE: u16 = 0x11;
    pub(in super::super) const ATTRIBUTE_INFO: u16 = 0x15;
}

/// Messages stored elsewhere and shared, of which only committed datatypes occur, are refused.
const SHARED: u8 = 2;

/// All messages of the object at `address`.
pub(super) fn messages<'a>(file: &File<'a>, address: u64) -> Result<Vec<Message<'a>>> {
    file.count_node()?;
    let mut view = file.view(address)?;
    let first = view.clone().take(4)?;
    if first == b"OHDR" { version_2(file, address) } else { version_1(file, &mut view) }
}

fn version_1<'a>(file: &File<'a>, view: &mut View<'a>) -> Result<Vec<Message<'a>>> {
    let at = view.position() as u64;
    let version = view.u8()?;
    if version != 1 {
        let message = format!("version {version} of the object header");
        return Err(Error::new(ErrorKind::Unsupported, message).offset(at));
    }
    view.skip(7)?;
    let len = view.u32()? as usize;
    view.skip(4)?;
    let mut blocks = vec![view.sub(len)?];
    let mut found = Vec::new();
    while let Some(mut block) = blocks.pop() {
        while block.remaining() >= 8 {
            let (kind, len) = (block.u16()?, block.u16()?);
            let flags = block.u8()?;
            block.skip(3)?;
            let data = block.sub(usize::from(len))?;
            if let Some(mut next) = accept(file, &mut found, kind, flags, data)? {
                let address = next.pointer()?;
                let len = next.length()?;
                blocks.push(file.view(address)?.sub(len)?);
            }
        }
    }
    Ok(found)
}

fn version_2<'a>(file: &File<'a>, address: u64) -> Result<Vec<Message<'a>>> {
    let mut view = file.block(address, b"OHDR")?;
    let version = view.u8()?;
    if version != 2 {
        let message = format!("version {version} of the object header");
        return Err(Error::new(ErrorKind::Unsupported, message).offset(address));
    }
    let flags = view.u8()?;
    view.skip(if flags & 0x20 != 0 { 16 } else { 0 })?;
    view.skip(if flags & 0x10 != 0 { 4 } else { 0 })?;
    let len = view.sized(flags)?;
    let creation_order = if flags & 4 != 0 { 2 } else { 0 };
    let mut blocks = vec![view.sub(len)?];
    let mut found = Vec::new();
    while let Some(mut block) = blocks.pop() {
        // What is left over may be a gap shorter than a message.
        while block.remaining() >= 4 + creation_order {
            let kind = u16::from(block.u8()?);
            let len = usize::from(block.u16()?);
            let flags = block.u8()?;
            block.skip(creation_order)?;
            let data = block.sub(len)?;
            if let Some(mut next) = accept(file, &mut found, kind, flags, data)? {
                let address = next.pointer()?;
                let len = next.length()?;
                let inside = len.checked_sub(8).ok_or_else(|| {
                    Error::new(ErrorKind::Malformed, "a continuation block of no length")
                })?;
                blocks.push(file.block(address, b"OCHK")?.sub(inside)?);
            }
        }
    }
    Ok(found)
}

/// Keeps a message, or returns the data of one that says where the header goes on. Budgeted, so
/// that blocks that continue each other come to an end.
fn accept<'a>(
    file: &File<'a>,
    found: &mut Vec<Message<'a>>,
    kind: u16,
    flags: u8,
    data: View<'a>,
) -> Result<Option<View<'a>>> {
    file.count_node()?;
    if kind == kind::CONTINUATION {
        return Ok(Some(data));
    }
    if flags & SHARED != 0 && matches!(kind, kind::DATASPACE | kind::DATATYPE | kind::FILTERS) {
        let message = format!("message {kind} shared between objects");
        return Err(Error::new(ErrorKind::Unsupported, message).offset(data.position() as u64));
    }
    found.push(Message { kind, data });
    Ok(None)
}
