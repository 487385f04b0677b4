//! The precision that is asked for.

use std::str::FromStr;

/// The precision that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Precision {
    /// Of floats.
    Floats(mobilenet::Precision),
    /// 8 bits.
    Int8,
    /// The fastest that loses little.
    Auto,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "int8" => Ok(Self::Int8),
            "auto" => Ok(Self::Auto),
            _ => name
                .parse()
                .map(Self::Floats)
                .map_err(|_| format!("no precision is called {name:?}: f32, bf16, int8 or auto")),
        }
    }
}
