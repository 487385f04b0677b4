//! FlatBuffers, the encoding under TFLite files: how a table, vector or string lies in bytes.
//!
//! Holds the reader's cursor ([`Reader`], [`Table`]), the writer ([`Writer`]) and the two traits that
//! say how a Rust type is read and written: [`Inline`] (a value in a slot or a vector element) and
//! [`Field`] (a numbered field of a table, which may be absent). Holds no schema: `schema.rs`,
//! `options.rs` and `metadata.rs` declare tables with the macros of `declare.rs`.
//!
//! # Layout
//!
//! All numbers are little-endian.
//!
//! ```text
//! file    u32 offset of the root table | 4 bytes file identifier | …
//! offset  u32, forward, counted from where the offset itself lies
//! table   i32 (position of the table - position of its vtable) | field bytes
//! vtable  u16 bytes of the vtable | u16 bytes of the table | u16 per field: offset in the table, 0 = absent
//! vector  u32 count | elements (tables, strings and vectors as offsets)
//! string  vector of UTF-8 bytes | 0
//! ```
//!
//! Every position is checked before it is read. Depth is bounded by the schema, which has no
//! recursive table; memory by a budget, because small files can share one table many times.

use std::cell::Cell;
use std::collections::HashMap;

/// What is wrong with a file, and where: `path` grows outwards while the error travels up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) at: usize,
    pub(super) path: String,
    pub(super) what: String,
    pub(super) fault: Fault,
}

/// Whose fault a [`Malformed`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes do not follow the format.
    Bytes,
    /// The file is larger than the caller allows, or than the format can hold.
    Limit,
    /// The file uses what this library cannot write.
    Unsupported,
}

impl Malformed {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, path: String::new(), what: what.into(), fault: Fault::Bytes }
    }

    pub(super) fn limit(at: usize, what: impl Into<String>) -> Self {
        Self { fault: Fault::Limit, ..Self::new(at, what) }
    }

    pub(super) fn unsupported(at: usize, what: impl Into<String>) -> Self {
        Self { fault: Fault::Unsupported, ..Self::new(at, what) }
    }

    /// Names the field or element the error is in; called from the inside outwards.
    pub(super) fn inside(mut self, outer: &str) -> Self {
        let dot = !self.path.is_empty() && !self.path.starts_with('[');
        self.path = format!("{outer}{}{}", if dot { "." } else { "" }, self.path);
        self
    }
}

pub(super) type Outcome<T> = Result<T, Malformed>;

// ---------------------------------------------------------------------------------------------
// Reading

/// The bytes of one FlatBuffer and what may still be decoded from them.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Bytes of decoded values still allowed; sharing makes values outgrow the file.
    budget: Cell<u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], budget: u64) -> Self {
        Self { bytes, budget: Cell::new(budget) }
    }

    /// The root table, after checking the file identifier.
    pub(super) fn root<T: Inline>(&self, identifier: &[u8; 4]) -> Outcome<T> {
        match self.take(4, 4)? {
            found if found == identifier => T::get(self, 0),
            found => Err(Malformed::new(
                4,
                format!(
                    "file identifier is `{}`, expected `{}`",
                    found.escape_ascii(),
                    identifier.escape_ascii()
                ),
            )),
        }
    }

    pub(super) fn take(&self, at: usize, len: usize) -> Outcome<&'a [u8]> {
        at.checked_add(len).and_then(|end| self.bytes.get(at..end)).ok_or_else(|| {
            Malformed::new(
                at,
                format!("{len} bytes reach past the end of the file ({} bytes)", self.bytes.len()),
            )
        })
    }

    pub(super) fn array<const N: usize>(&self, at: usize) -> Outcome<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(at, N)?);
        Ok(array)
    }

    pub(super) fn spend(&self, at: usize, bytes: usize) -> Outcome<()> {
        let left = self.budget.get().checked_sub(bytes as u64).ok_or_else(|| {
            Malformed::limit(at, "the decoded values are larger than the limit allows")
        })?;
        self.budget.set(left);
        Ok(())
    }

    /// Follows the offset stored at `at`.
    fn follow(&self, at: usize) -> Outcome<usize> {
        let offset = u32::from_le_bytes(self.array(at)?) as usize;
        match at.checked_add(offset) {
            Some(target) if offset != 0 && target < self.bytes.len() => Ok(target),
            _ => Err(Malformed::new(at, format!("offset {offset} points outside the file"))),
        }
    }

    /// Position of the first element and count of the vector whose offset is stored at `at`.
    fn vector(&self, at: usize, width: usize) -> Outcome<(usize, usize)> {
        let start = self.follow(at)?;
        let count = u32::from_le_bytes(self.array(start)?) as usize;
        let elements = start + 4;
        let room = self.bytes.len().saturating_sub(elements);
        if count > room / width {
            return Err(Malformed::new(
                start,
                format!("a vector of {count} elements of {width} bytes has only {room} bytes left"),
            ));
        }
        Ok((elements, count))
    }

    pub(super) fn table(&self, at: usize) -> Outcome<Table<'_>> {
        let start = self.follow(at)?;
        let back = i64::from(i32::from_le_bytes(self.array(start)?));
        let vtable = usize::try_from(start as i64 - back)
            .map_err(|_| Malformed::new(start, "the table's vtable lies before the file"))?;
        let vtable_len = usize::from(u16::from_le_bytes(self.array(vtable)?));
        let table_len = usize::from(u16::from_le_bytes(self.array(vtable.saturating_add(2))?));
        if vtable_len < 4 || vtable_len % 2 != 0 || table_len < 4 {
            return Err(Malformed::new(
                vtable,
                format!("a vtable of {vtable_len} bytes for a table of {table_len} bytes"),
            ));
        }
        self.take(start, table_len)?;
        let slots = self.take(vtable, vtable_len)?.get(4..).unwrap_or_default();
        Ok(Table { reader: self, start, len: table_len, slots })
    }
}

/// One table: where it starts, how long it is, and where its fields are.
pub(super) struct Table<'a> {
    pub(super) reader: &'a Reader<'a>,
    start: usize,
    len: usize,
    slots: &'a [u8],
}

impl Table<'_> {
    /// Position of field `index`, `width` bytes wide; `None` if the table does not store it.
    pub(super) fn slot(&self, index: usize, width: usize) -> Outcome<Option<usize>> {
        let offset = match self.slots.get(index * 2..index * 2 + 2) {
            Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
            _ => 0,
        };
        match offset {
            0 => Ok(None),
            _ if offset >= 4 && offset + width <= self.len => Ok(Some(self.start + offset)),
            _ => Err(Malformed::new(
                self.start,
                format!("its {width} bytes at {offset} lie outside a table of {} bytes", self.len),
            )),
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Writing

/// A file being written front to back: a parent first, then its children, whose offsets are
/// patched into the parent. Equal vtables are shared, as the format's own builders do.
pub(super) struct Writer {
    out: Vec<u8>,
    vtables: HashMap<Vec<u8>, usize>,
}

/// A field with something to store: its number, its width, and where its bytes are to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) index: usize,
    pub(super) width: usize,
}

/// Where the fields of a table being written lie.
pub(super) struct Placed(Vec<(usize, usize)>);

impl Placed {
    /// Position reserved for field `index`, if it is stored at all.
    pub(super) fn at(&self, index: usize) -> Option<usize> {
        self.0.iter().find(|(slot, _)| *slot == index).map(|(_, at)| *at)
    }
}

impl Writer {
    /// Writes a whole file: root offset, identifier, root table.
    pub(super) fn file<T: Inline>(root: &T, identifier: &[u8; 4]) -> Outcome<Vec<u8>> {
        let mut writer = Self { out: vec![0; 4], vtables: HashMap::new() };
        writer.out.extend_from_slice(identifier);
        root.put(&mut writer, 0)?;
        writer.align(16);
        Ok(writer.out)
    }

    fn align(&mut self, to: usize) {
        self.out.resize(self.out.len().next_multiple_of(to), 0);
    }

    pub(super) fn set(&mut self, at: usize, bytes: &[u8]) {
        if let Some(slot) = self.out.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }

    /// Stores at `at` the offset from there to the end of what is written so far.
    fn point_here(&mut self, at: usize) -> Outcome<()> {
        let offset = i32::try_from(self.out.len() - at)
            .map_err(|_| Malformed::limit(at, "the file would be larger than 2 GiB"))?;
        self.set(at, &offset.to_le_bytes());
        Ok(())
    }

    /// Reserves room for the stored fields of a table and points `at` to it.
    pub(super) fn table(&mut self, at: usize, slots: &[Slot]) -> Outcome<Placed> {
        let (offsets, len) = lay_out(slots);
        let vtable = self.vtable(slots, &offsets, len);
        self.align(8);
        // Fields are laid out from the table's start + 4, so the start is 4 past a multiple of 8.
        self.out.extend_from_slice(&[0; 4]);
        self.point_here(at)?;
        let start = self.out.len();
        self.out.resize(start + len, 0);
        let back = i32::try_from(start - vtable)
            .map_err(|_| Malformed::limit(start, "the file would be larger than 2 GiB"))?;
        self.set(start, &back.to_le_bytes());
        Ok(Placed(slots.iter().zip(&offsets).map(|(s, o)| (s.index, start + o)).collect()))
    }

    /// Position of a vtable with these fields: written now unless an equal one exists.
    fn vtable(&mut self, slots: &[Slot], offsets: &[usize], table_len: usize) -> usize {
        let count = slots.iter().map(|slot| slot.index + 1).max().unwrap_or(0);
        let mut words = vec![0u16; count + 2];
        words[0] = (words.len() * 2) as u16;
        words[1] = table_len as u16;
        for (slot, &offset) in slots.iter().zip(offsets) {
            words[slot.index + 2] = offset as u16;
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        if let Some(&known) = self.vtables.get(&bytes) {
            return known;
        }
        self.align(2);
        let at = self.out.len();
        self.out.extend_from_slice(&bytes);
        self.vtables.insert(bytes, at);
        at
    }

    /// Starts a vector of `count` elements; returns the position of the first.
    fn vector(&mut self, at: usize, count: usize, width: usize) -> Outcome<usize> {
        let count_u32 = u32::try_from(count)
            .map_err(|_| Malformed::limit(at, "a vector has more than 2^32 elements"))?;
        // Byte vectors hold tensors that runtimes map in place: 16, as the schema's force_align.
        let align = if width == 1 { 16 } else { width.max(4) };
        let count_at = (self.out.len() + 4).next_multiple_of(align) - 4;
        self.out.resize(count_at, 0);
        self.point_here(at)?;
        self.out.extend_from_slice(&count_u32.to_le_bytes());
        let elements = self.out.len();
        self.out.resize(elements + count * width, 0);
        Ok(elements)
    }
}

/// Offsets of the fields inside their table and the table's length. The table starts 4 bytes past
/// a multiple of 8; wide fields come first, so each lies at a multiple of its width.
fn lay_out(slots: &[Slot]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; slots.len()];
    let mut end = 4;
    for width in [8, 4, 2, 1] {
        for (slot, offset) in slots.iter().zip(&mut offsets) {
            if slot.width == width {
                *offset = end;
                end += width;
            }
        }
    }
    (offsets, end.next_multiple_of(4))
}

// ---------------------------------------------------------------------------------------------
// What can be stored

/// A value of fixed width in a table's slot or a vector: a number, or the offset of something larger.
pub(super) trait Inline: Sized {
    /// Bytes of the value in its slot; its alignment too.
    const WIDTH: usize;

    /// Reads the value stored at `at`.
    fn get(reader: &Reader<'_>, at: usize) -> Outcome<Self>;

    /// Fills the slot reserved at `at`, appending to the file what the slot points to.
    fn put(&self, writer: &mut Writer, at: usize) -> Outcome<()>;

    /// Reads `count` neighbours; the vector's length is already checked against the file.
    fn get_all(reader: &Reader<'_>, at: usize, count: usize) -> Outcome<Vec<Self>> {
        (0..count)
            .map(|i| {
                Self::get(reader, at + i * Self::WIDTH).map_err(|e| e.inside(&format!("[{i}]")))
            })
            .collect()
    }

    /// Fills the vector reserved at `at`.
    fn put_all(values: &[Self], writer: &mut Writer, at: usize) -> Outcome<()> {
        for (i, value) in values.iter().enumerate() {
            let put = value.put(writer, at + i * Self::WIDTH);
            put.map_err(|e| e.inside(&format!("[{i}]")))?;
        }
        Ok(())
    }
}

/// A numbered field of a table: how it is read when absent, and whether it need be stored.
pub(super) trait Field: Sized {
    fn read(table: &Table<'_>, index: usize, absent: Self) -> Outcome<Self>;
    /// Adds the slots the field needs.
    fn slots(&self, index: usize, out: &mut Vec<Slot>);
    fn write(&self, writer: &mut Writer, placed: &Placed, index: usize) -> Outcome<()>;
}

impl<T: Inline> Field for T {
    fn read(table: &Table<'_>, index: usize, absent: Self) -> Outcome<Self> {
        match table.slot(index, T::WIDTH)? {
            Some(at) => T::get(table.reader, at),
            None => Ok(absent),
        }
    }

    fn slots(&self, index: usize, out: &mut Vec<Slot>) {
        out.push(Slot { index, width: T::WIDTH });
    }

    fn write(&self, writer: &mut Writer, placed: &Placed, index: usize) -> Outcome<()> {
        placed.at(index).map_or(Ok(()), |at| self.put(writer, at))
    }
}

impl<T: Inline> Field for Option<T> {
    fn read(table: &Table<'_>, index: usize, _absent: Self) -> Outcome<Self> {
        table.slot(index, T::WIDTH)?.map(|at| T::get(table.reader, at)).transpose()
    }

    fn slots(&self, index: usize, out: &mut Vec<Slot>) {
        if self.is_some() {
            out.push(Slot { index, width: T::WIDTH });
        }
    }

    fn write(&self, writer: &mut Writer, placed: &Placed, index: usize) -> Outcome<()> {
        self.as_ref().map_or(Ok(()), |value| value.write(writer, placed, index))
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Inline for $number {
            const WIDTH: usize = size_of::<$number>();

            fn get(reader: &Reader<'_>, at: usize) -> Outcome<Self> {
                Ok(<$number>::from_le_bytes(reader.array(at)?))
            }

            fn put(&self, writer: &mut Writer, at: usize) -> Outcome<()> {
                writer.set(at, &self.to_le_bytes());
                Ok(())
            }

            fn get_all(reader: &Reader<'_>, at: usize, count: usize) -> Outcome<Vec<Self>> {
                let (elements, _) = reader.take(at, count * Self::WIDTH)?.as_chunks();
                Ok(elements.iter().map(|bytes| <$number>::from_le_bytes(*bytes)).collect())
            }

            fn put_all(values: &[Self], writer: &mut Writer, at: usize) -> Outcome<()> {
                let (slots, _) = writer.out.get_mut(at..).unwrap_or_default().as_chunks_mut();
                for (slot, value) in slots.iter_mut().zip(values) {
                    *slot = value.to_le_bytes();
                }
                Ok(())
            }
        }
    )*};
}

numbers! { u8 i8 u16 i16 u32 i32 u64 i64 f32 }

impl Inline for bool {
    const WIDTH: usize = 1;

    fn get(reader: &Reader<'_>, at: usize) -> Outcome<Self> {
        Ok(u8::get(reader, at)? != 0)
    }

    fn put(&self, writer: &mut Writer, at: usize) -> Outcome<()> {
        u8::from(*self).put(writer, at)
    }
}

impl<T: Inline> Inline for Vec<T> {
    const WIDTH: usize = 4;

    fn get(reader: &Reader<'_>, at: usize) -> Outcome<Self> {
        let (elements, count) = reader.vector(at, T::WIDTH)?;
        reader.spend(at, count.saturating_mul(size_of::<T>()))?;
        T::get_all(reader, elements, count)
    }

    fn put(&self, writer: &mut Writer, at: usize) -> Outcome<()> {
        let elements = writer.vector(at, self.len(), T::WIDTH)?;
        T::put_all(self, writer, elements)
    }
}

impl Inline for String {
    const WIDTH: usize = 4;

    fn get(reader: &Reader<'_>, at: usize) -> Outcome<Self> {
        let (start, len) = reader.vector(at, 1)?;
        reader.spend(at, len)?;
        match std::str::from_utf8(reader.take(start, len)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => Err(Malformed::new(start + e.valid_up_to(), "the string is not UTF-8")),
        }
    }

    fn put(&self, writer: &mut Writer, at: usize) -> Outcome<()> {
        writer.align(4);
        let len = u32::try_from(self.len())
            .map_err(|_| Malformed::limit(at, "a string is longer than 4 GiB"))?;
        writer.point_here(at)?;
        writer.out.extend_from_slice(&len.to_le_bytes());
        writer.out.extend_from_slice(self.as_bytes());
        writer.out.push(0);
        Ok(())
    }
}
