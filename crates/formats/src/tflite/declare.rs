//! The three macros that let a schema be read as a schema: `enums!`, `tables!` and `unions!`.
//!
//! They make plain Rust types and teach them to be read and written; the types themselves are
//! declared in `schema.rs`, `options.rs` and `metadata.rs`.

/// Open enumerations: a number with named constants, so that a value this version has no name for
/// is kept as it is.
macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident: $number:ty { $($case:ident = $value:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $number);

        #[allow(missing_docs)]
        impl $name {
            $(pub const $case: Self = Self($value);)+

            /// The schema's name of this value, if it has one.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($case)),)+
                    _ => None,
                }
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }

        impl $crate::tflite::flatbuffer::Inline for $name {
            const WIDTH: usize = size_of::<$number>();

            fn get(
                reader: &$crate::tflite::flatbuffer::Reader<'_>,
                at: usize,
            ) -> $crate::tflite::flatbuffer::Outcome<Self> {
                Ok(Self(<$number as $crate::tflite::flatbuffer::Inline>::get(reader, at)?))
            }

            fn put(
                &self,
                writer: &mut $crate::tflite::flatbuffer::Writer,
                at: usize,
            ) -> $crate::tflite::flatbuffer::Outcome<()> {
                self.0.put(writer, at)
            }
        }
    )+};
}

/// Tables: a struct per table, `[number] name: type` per field. A field with `= default` is not
/// stored while it equals the default, and reads as the default when absent; a field without is
/// always stored, and reads as its type's default when absent.
macro_rules! tables {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$field_doc:meta])* [$index:literal] $field:ident: $type:ty $(= $default:expr)?),* $(,)? }
    )+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: tables!(@absent $($default)?),)* }
            }
        }

        impl $crate::tflite::flatbuffer::Inline for $name {
            const WIDTH: usize = 4;

            #[allow(unused_variables)]
            fn get(
                reader: &$crate::tflite::flatbuffer::Reader<'_>,
                at: usize,
            ) -> $crate::tflite::flatbuffer::Outcome<Self> {
                reader.spend(at, size_of::<Self>())?;
                let table = reader.table(at)?;
                Ok(Self {
                    $($field: $crate::tflite::flatbuffer::Field::read(
                        &table,
                        $index,
                        tables!(@absent $($default)?),
                    )
                    .map_err(|e| e.inside(stringify!($field)))?,)*
                })
            }

            #[allow(unused_mut)]
            fn put(
                &self,
                writer: &mut $crate::tflite::flatbuffer::Writer,
                at: usize,
            ) -> $crate::tflite::flatbuffer::Outcome<()> {
                let mut slots = Vec::new();
                $(if tables!(@stored self.$field, $type $(, $default)?) {
                    $crate::tflite::flatbuffer::Field::slots(&self.$field, $index, &mut slots);
                })*
                let _placed = writer.table(at, &slots)?;
                $($crate::tflite::flatbuffer::Field::write(&self.$field, writer, &_placed, $index)
                    .map_err(|e| e.inside(stringify!($field)))?;)*
                Ok(())
            }
        }
    )+};
    (@absent) => { Default::default() };
    (@absent $default:expr) => { $default };
    (@stored $value:expr, $type:ty) => { true };
    (@stored $value:expr, $type:ty, $default:expr) => {{
        let absent: $type = $default;
        $value != absent
    }};
}

/// Unions: which of several tables a field holds. They take two field numbers, the declared one
/// for the type and the next for the table. A type without a variant is read as `Unknown` and
/// refused by the writer.
macro_rules! unions {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$case_doc:meta])* $case:ident($table:ty) = $value:literal),+ $(,)? }
    )+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        #[non_exhaustive]
        pub enum $name {
            /// Nothing is stored.
            #[default]
            None,
            $($(#[$case_doc])* #[allow(missing_docs)] $case($table),)+
            /// A type this version does not know, by its number in the schema.
            Unknown(u8),
        }

        impl $name {
            /// The number of the stored type in the schema; 0 is none.
            #[must_use]
            pub fn type_number(&self) -> u8 {
                match self {
                    Self::None => 0,
                    $(Self::$case(_) => $value,)+
                    Self::Unknown(number) => *number,
                }
            }
        }

        $(impl From<$table> for $name {
            fn from(table: $table) -> Self {
                Self::$case(table)
            }
        })+

        impl $crate::tflite::flatbuffer::Field for $name {
            fn read(
                table: &$crate::tflite::flatbuffer::Table<'_>,
                index: usize,
                _absent: Self,
            ) -> $crate::tflite::flatbuffer::Outcome<Self> {
                use $crate::tflite::flatbuffer::Inline;
                let number: u8 = $crate::tflite::flatbuffer::Field::read(table, index, 0)?;
                let Some(at) = table.slot(index + 1, 4)? else { return Ok(Self::None) };
                match number {
                    0 => Ok(Self::None),
                    $($value => Ok(Self::$case(Inline::get(table.reader, at)?)),)+
                    number => Ok(Self::Unknown(number)),
                }
            }

            fn slots(&self, index: usize, out: &mut Vec<$crate::tflite::flatbuffer::Slot>) {
                out.push($crate::tflite::flatbuffer::Slot { index, width: 1 });
                out.push($crate::tflite::flatbuffer::Slot { index: index + 1, width: 4 });
            }

            fn write(
                &self,
                writer: &mut $crate::tflite::flatbuffer::Writer,
                placed: &$crate::tflite::flatbuffer::Placed,
                index: usize,
            ) -> $crate::tflite::flatbuffer::Outcome<()> {
                use $crate::tflite::flatbuffer::Inline;
                let (Some(type_at), Some(at)) = (placed.at(index), placed.at(index + 1)) else {
                    return Ok(());
                };
                self.type_number().put(writer, type_at)?;
                match self {
                    Self::None => Ok(()),
                    $(Self::$case(table) => table.put(writer, at),)+
                    Self::Unknown(number) => Err($crate::tflite::flatbuffer::Malformed::unsupported(
                        at,
                        format!("{} of type {number} cannot be written", stringify!($name)),
                    )),
                }
            }
        }
    )+};
}
