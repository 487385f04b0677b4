//! Element types by TensorFlow's numbers (`tensorflow/core/framework/types.proto`) and names.

use std::fmt;

/// For each type: variant, TensorFlow's number, its Python name, bytes per element (0: no fixed size).
macro_rules! dtypes {
    ($($variant:ident = $number:literal, $name:literal, $bytes:literal;)*) => {
        /// An element type; the discriminant is TensorFlow's number (`DT_FLOAT` = 1).
        ///
        /// ```
        /// use mobilenet_formats::DType;
        ///
        /// assert_eq!(DType::from_tensorflow(1), Some(DType::F32));
        /// assert_eq!(DType::F32.to_string(), "float32");
        /// assert_eq!(DType::BF16.size(), Some(2));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum DType {
            $(#[doc = concat!("`", $name, "`")] $variant = $number,)*
        }

        impl DType {
            /// Every element type.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            /// The type of TensorFlow's number; reference types (number + 100, as `VariableV2`
            /// yields) give their base type, `DT_INVALID` and unknown numbers `None`.
            pub fn from_tensorflow(number: i32) -> Option<Self> {
                match if number > 100 { number - 100 } else { number } {
                    $($number => Some(DType::$variant),)*
                    _ => None,
                }
            }

            /// TensorFlow's name in Python: `float32`.
            pub fn name(self) -> &'static str {
                match self {
                    $(DType::$variant => $name,)*
                }
            }

            /// Bytes per element; `None` for types without a fixed size.
            pub fn size(self) -> Option<usize> {
                match self {
                    $(DType::$variant => if $bytes == 0 { None } else { Some($bytes) },)*
                }
            }
        }
    };
}

dtypes! {
    F32 = 1, "float32", 4;
    F64 = 2, "float64", 8;
    I32 = 3, "int32", 4;
    U8 = 4, "uint8", 1;
    I16 = 5, "int16", 2;
    I8 = 6, "int8", 1;
    String = 7, "string", 0;
    Complex64 = 8, "complex64", 8;
    I64 = 9, "int64", 8;
    Bool = 10, "bool", 1;
    QI8 = 11, "qint8", 1;
    QU8 = 12, "quint8", 1;
    QI32 = 13, "qint32", 4;
    BF16 = 14, "bfloat16", 2;
    QI16 = 15, "qint16", 2;
    QU16 = 16, "quint16", 2;
    U16 = 17, "uint16", 2;
    Complex128 = 18, "complex128", 16;
    F16 = 19, "float16", 2;
    Resource = 20, "resource", 0;
    Variant = 21, "variant", 0;
    U32 = 22, "uint32", 4;
    U64 = 23, "uint64", 8;
}

impl DType {
    /// TensorFlow's number.
    pub fn to_tensorflow(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_references_round_trip() {
        for &dtype in DType::ALL {
            assert_eq!(DType::from_tensorflow(dtype.to_tensorflow()), Some(dtype));
            assert_eq!(DType::from_tensorflow(dtype.to_tensorflow() + 100), Some(dtype));
        }
        for number in [0, 100, -1, 24, i32::MAX, i32::MIN] {
            assert_eq!(DType::from_tensorflow(number), None);
        }
    }
}
