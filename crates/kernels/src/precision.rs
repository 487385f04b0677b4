//! Precisions of products by name.

use crate::error::{Error, Result};
use crate::isa::Isa;
use std::fmt;
use std::str::FromStr;

/// How numbers are rounded before a pointwise convolution or matrix product multiplies them. Sums
/// and everything else are in float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// Weights and inputs to bfloat16, 8 bits of mantissa: needs AVX512-BF16.
    Bf16,
}

impl Precision {
    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Whether kernels of this CPU have it beside those of an instruction set.
    pub fn is_available(self, isa: Isa) -> bool {
        match self {
            Self::F32 => isa.is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16 => {
                isa == Isa::Avx512 && isa.is_available() && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Bf16 => false,
        }
    }

    /// An error that says what is missing, unless it is available.
    ///
    /// # Errors
    /// A CPU or an instruction set without it.
    pub fn require(self, isa: Isa) -> Result<()> {
        if self.is_available(isa) {
            return Ok(());
        }
        let message = format!("{self} needs AVX512-BF16, which {isa} on this CPU lacks; use f32");
        Err(Error::isa(message))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = [Self::F32, Self::Bf16];
        let found = known.into_iter().find(|precision| precision.name() == name);
        let unknown = || Error::isa(format!("no precision is called {name:?}: f32 or bf16"));
        found.ok_or_else(unknown)
    }
}
