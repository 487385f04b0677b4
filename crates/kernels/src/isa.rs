//! Instruction sets by name. The proof that the CPU has one is a token of `simd`;
//! here are only the names people type and read.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// An instruction set that kernels are written for.
///
/// ```
/// use mobilenet_kernels::Isa;
/// assert!(Isa::detect().is_available());
/// assert_eq!("portable".parse::<Isa>()?, Isa::Portable);
/// # Ok::<(), mobilenet_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, DQ and VL: 16 floats.
    Avx512,
    /// x86-64 with AVX2 and FMA: 8 floats.
    Avx2,
    /// 64-bit ARM: 4 floats.
    Neon,
    /// WebAssembly simd128: 4 floats, no fused multiply-add.
    Simd128,
    /// Plain Rust.
    Portable,
}

impl Isa {
    /// Every instruction set, best first.
    pub const ALL: [Isa; 5] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Simd128, Isa::Portable];

    /// The best instruction set of this CPU.
    pub fn detect() -> Isa {
        Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    /// The instruction sets of this CPU, best first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this CPU has the instruction set.
    pub fn is_available(self) -> bool {
        crate::simd::is_available(self)
    }

    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Simd128 => "simd128",
            Isa::Portable => "portable",
        }
    }

    /// Floats in one vector.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Avx512 => 16,
            Isa::Avx2 | Isa::Portable => 8,
            Isa::Neon | Isa::Simd128 => 4,
        }
    }

    /// An error unless this CPU has the instruction set.
    pub(crate) fn require(self) -> Result<Self> {
        if self.is_available() {
            return Ok(self);
        }
        Err(Error::isa(format!("this CPU has no {self}; it has {}", names(Isa::available()))))
    }
}

fn names(isas: impl Iterator<Item = Isa>) -> String {
    isas.map(Isa::name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    /// Reads a name; an instruction set this CPU lacks is an error that lists what it has.
    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|isa| isa.name() == name) {
            Some(isa) => isa.require(),
            None => Err(Error::isa(format!(
                "no instruction set is called {name:?}; known are {}",
                names(Self::ALL.into_iter())
            ))),
        }
    }
}
