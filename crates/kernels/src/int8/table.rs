//! The table of kernels of bytes: one line for each instruction set, best first.

use super::convert::{self, QuantizeTask};
use super::depthwise::three::{self, ThreeTask};
use super::depthwise::{self, DepthwiseTask};
use super::peak;
use super::product::{self, ProductTask};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd::Simd128;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2Plain, Avx2Vnni, Avx512Vnni};
use super::simd::{Bytes, Portable};
#[cfg(target_arch = "aarch64")]
use super::simd::{NeonDot, NeonPlain};
use crate::error::{Error, Result};
use crate::isa::Isa;

/// Kernels of bytes for one instruction set.
#[derive(Debug)]
pub struct Kernel {
    /// `{dtype}_{rows}x{outputs}__{instructions}`.
    pub name: &'static str,
    /// The instruction set by whose name it is chosen; the CPU may need more than that.
    pub isa: Isa,
    /// Sums in one vector.
    pub lanes: usize,
    /// Whether it rescales sums by lines.
    pub(crate) takes_lines: bool,
    /// What it takes from each input.
    pub(crate) offset: i32,
    /// Whether products sum neighbours in 16 bits.
    pub(crate) saturates: bool,
    /// Vectors in the widest panel of outputs.
    pub(crate) vectors: usize,
    pub(crate) available: fn() -> bool,
    pub(crate) product: fn(ProductTask<'_>),
    pub(crate) depthwise: fn(DepthwiseTask<'_>),
    pub(crate) three: fn(ThreeTask<'_>),
    pub(crate) quantize: fn(QuantizeTask<'_>),
    pub(crate) peak: fn(),
}

macro_rules! kernels {
    ($($(#[$only:meta])* $name:literal $isa:ident $token:ident $vectors:literal $tiles:tt;)*) => {
        &[$($(#[$only])* kernel!($name $isa $token $vectors $tiles),)*]
    };
}

macro_rules! kernel {
    ($name:literal $isa:ident $token:ident $vectors:literal [$m4:literal, $m2:literal, $m1:literal]) => {
        Kernel {
            name: $name,
            isa: Isa::$isa,
            lanes: $token::LANES,
            takes_lines: $token::LINES,
            offset: $token::OFFSET,
            saturates: $token::SATURATES,
            vectors: $vectors,
            available: || $token::new().is_some(),
            product: product::entry::<$token, $m4, $m2, $m1>,
            depthwise: depthwise::entry::<$token>,
            three: three::entry::<$token>,
            quantize: convert::entry::<$token>,
            peak: peak::entry::<$token>,
        }
    };
}

impl Kernel {
    /// Whether this CPU can run it.
    pub fn is_available(&self) -> bool {
        (self.available)()
    }
}

/// Every kernel of this build; rows of tiles of four, two and one vectors at the end.
#[rustfmt::skip]
pub static KERNELS: &[Kernel] = kernels! {
    #[cfg(target_arch = "x86_64")]
    "u8_6x64__avx512vnni" Avx512 Avx512Vnni 4 [6, 12, 12];
    #[cfg(target_arch = "x86_64")]
    "u8_6x16__avxvnni" Avx2 Avx2Vnni 2 [1, 6, 12];
    #[cfg(target_arch = "x86_64")]
    "u8_4x16__avx2" Avx2 Avx2Plain 2 [1, 4, 6];
    #[cfg(target_arch = "aarch64")]
    "u8_4x16__neondot" Neon NeonDot 4 [4, 8, 12];
    #[cfg(target_arch = "aarch64")]
    "u8_4x16__neon" Neon NeonPlain 4 [4, 6, 12];
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    "u8_4x8__simd128" Simd128 Simd128 2 [1, 4, 4];
    "u8_4x16__portable" Portable Portable 2 [1, 4, 4];
};

/// The kernel for an instruction set: its own, or the next that the CPU has.
pub(crate) fn pick(isa: Isa) -> Result<&'static Kernel> {
    let rank = |isa: Isa| Isa::ALL.iter().position(|&other| other == isa);
    let from = rank(isa.require()?);
    let kernel = KERNELS.iter().find(|kernel| rank(kernel.isa) >= from && kernel.is_available());
    kernel.ok_or_else(|| Error::kernel(format!("{isa} has no kernel of bytes")))
}
