//! Byte-level reading shared by the formats: varints, checked slices, and the structural check a
//! protobuf message passes before it is decoded. Knows no schema.

use crate::{Error, ErrorKind, Limits, Result};

/// A slice that is read from the front; it knows its position for error messages.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    start: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes, start: bytes.len() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn position(&self) -> usize {
        self.start - self.rest.len()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let message = format!("need {count} bytes, have {}", self.rest.len());
            return Err(Error::new(ErrorKind::Truncated, message).offset(self.position() as u64));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A base-128 varint of at most ten bytes.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let at = self.position() as u64;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::new(ErrorKind::Malformed, "a varint of more than 64 bits").offset(at))
    }

    /// A varint that counts bytes or elements in memory.
    pub(crate) fn varint_len(&mut self) -> Result<usize> {
        let at = self.position() as u64;
        let value = self.varint()?;
        usize::try_from(value).map_err(|_| {
            Error::new(ErrorKind::Malformed, format!("length {value} does not fit")).offset(at)
        })
    }
}

/// Appends a base-128 varint.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Deepest nesting followed by the structural check; `prost` refuses to decode deeper.
const MAX_DEPTH: usize = 100;

/// Checks a serialised protobuf message against the limits before it is decoded.
///
/// A field of two bytes can become a struct of hundreds, so the length alone bounds nothing. Small
/// messages need no scan: half their length already bounds the number of fields.
pub(crate) fn check_message(bytes: &[u8], limits: &Limits) -> Result<()> {
    Limits::check("bytes of the message", bytes.len() as u64, limits.message_bytes)?;
    if bytes.len() / 2 <= limits.message_fields {
        return Ok(());
    }
    let mut left = limits.message_fields;
    match count_fields(Cursor::new(bytes), 0, &mut left) {
        Some(()) => Ok(()),
        None => {
            let message = format!("more than {} nested fields", limits.message_fields);
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

/// Takes every length-delimited field off `left`, following those that could be messages; `None`
/// when `left` runs out. Bytes that are no message end their own level quietly.
fn count_fields(mut cursor: Cursor<'_>, depth: usize, left: &mut usize) -> Option<()> {
    while !cursor.is_empty() {
        match next_field(&mut cursor) {
            Some((_, Some(inner))) => {
                *left = left.checked_sub(1)?;
                if depth < MAX_DEPTH {
                    count_fields(Cursor::new(inner), depth + 1, left)?;
                }
            }
            Some((_, None)) => {}
            None => break,
        }
    }
    Some(())
}

/// Steps over one field: its number, and its bytes if it is length-delimited; `None` when there is
/// no valid field.
fn next_field<'a>(cursor: &mut Cursor<'a>) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = cursor.varint().ok().filter(|tag| tag >> 3 != 0)?;
    let content = match tag & 7 {
        0 => cursor.varint().ok().map(|_| None),
        1 => cursor.take(8).ok().map(|_| None),
        2 => {
            let len = cursor.varint_len().ok()?;
            cursor.take(len).ok().map(Some)
        }
        3 | 4 => Some(None),
        5 => cursor.take(4).ok().map(|_| None),
        _ => None,
    };
    Some((tag >> 3, content?))
}

/// One field of a serialised message.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    /// Its bytes with the tag before them.
    pub(crate) whole: &'a [u8],
    /// Its bytes if it is length-delimited, else nothing.
    pub(crate) content: &'a [u8],
}

/// The fields of a serialised message, in order; the first that is none is an error.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>>> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        if cursor.is_empty() {
            return None;
        }
        let (before, at) = (cursor.rest, cursor.position());
        let Some((number, content)) = next_field(&mut cursor) else {
            cursor.rest = &[];
            let message = "no field of a protobuf message";
            return Some(Err(Error::new(ErrorKind::Malformed, message).offset(at as u64)));
        };
        let (whole, _) = before.split_at(cursor.position() - at);
        Some(Ok(Field { number, whole, content: content.unwrap_or_default() }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            assert_eq!(Cursor::new(&bytes).varint().unwrap(), value);
        }
    }

    #[test]
    fn a_giant_varint_is_refused() {
        let error = Cursor::new(&[0xff; 32]).varint().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        // Ten bytes, but more than 64 bits.
        let error = Cursor::new(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 2]).varint();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(Cursor::new(&[0x80]).varint().unwrap_err().kind(), ErrorKind::Truncated);
    }

    #[test]
    fn fields_come_with_their_tags() {
        // Field 1: varint 300; field 2: "ab"; field 3: four bytes.
        let bytes = [8, 0xac, 2, 0x12, 2, b'a', b'b', 0x1d, 1, 2, 3, 4];
        let all: Vec<_> = fields(&bytes).map(|field| field.unwrap()).collect();
        let numbers: Vec<_> = all.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(all[1].content, b"ab");
        let whole: Vec<u8> = all.iter().flat_map(|field| field.whole).copied().collect();
        assert_eq!(whole, bytes);
        let cut: Vec<_> = fields(&bytes[..6]).collect();
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[1].as_ref().err().unwrap().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_message_of_many_tiny_fields_is_refused() {
        let limits = Limits { message_fields: 100, ..Default::default() };
        let bytes = [0x0a, 0x00].repeat(101);
        assert_eq!(check_message(&bytes, &limits).unwrap_err().kind(), ErrorKind::Limit);
        assert!(check_message(&bytes[..200], &limits).is_ok());
        // The same fields one level down.
        let mut nested = vec![0x12];
        push_varint(&mut nested, bytes.len() as u64);
        nested.extend(&bytes);
        assert_eq!(check_message(&nested, &limits).unwrap_err().kind(), ErrorKind::Limit);
    }
}
