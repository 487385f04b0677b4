//! The kernel table: every vectorised kernel with its instruction set, its tile and its
//! function. Dispatch takes the first line that fits; tests and benches run every line.
//! A new kernel is one file and one line here.

#[cfg(target_arch = "x86_64")]
use crate::conv2d::first::pairs;
use crate::conv2d::first::{FirstTask, Pack, columns};
use crate::depthwise::{DepthwiseTask, body as depthwise};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::pointwise::{PointwiseSpec, PointwiseTask, body as pointwise};
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
use crate::simd::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::simd::Simd128;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};

/// One line of the kernel table.
#[derive(Debug)]
pub struct Kernel {
    /// `{op}_{dtype}_{tile}__{isa}`.
    pub name: &'static str,
    /// The instruction set it needs.
    pub isa: Isa,
    /// Output pixels and output channels that one step holds in registers.
    pub tile: [usize; 2],
    pub(crate) function: Function,
}

/// What a kernel computes, and its entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    /// Rows times packed weights.
    Pointwise(fn(PointwiseTask<'_>)),
    /// Depthwise convolution of output rows.
    Depthwise(fn(DepthwiseTask<'_>)),
    /// First convolution of output pixels, and how its weights are packed.
    First(fn(FirstTask<'_>), Pack),
}

macro_rules! kernels {
    ($($(#[$only:meta])* $name:literal $op:ident $isa:ident $tile:tt $($function:expr),+;)*) => {
        &[$(
            $(#[$only])*
            Kernel {
                name: $name,
                isa: Isa::$isa,
                tile: $tile,
                function: Function::$op($($function),+),
            },
        )*]
    };
}

/// Every kernel of this build, best first within an op and instruction set.
#[rustfmt::skip]
pub static KERNELS: &[Kernel] = kernels! {
    #[cfg(target_arch = "x86_64")]
    "pointwise_f32_12x32__avx512" Pointwise Avx512 [12, 32] pointwise::entry::<Avx512, 12, 2>;
    #[cfg(target_arch = "x86_64")]
    "pointwise_f32_14x16__avx512" Pointwise Avx512 [14, 16] pointwise::entry::<Avx512, 14, 1>;
    #[cfg(target_arch = "x86_64")]
    "pointwise_f32_6x16__avx2" Pointwise Avx2 [6, 16] pointwise::entry::<Avx2, 6, 2>;
    #[cfg(target_arch = "x86_64")]
    "pointwise_f32_12x8__avx2" Pointwise Avx2 [12, 8] pointwise::entry::<Avx2, 12, 1>;
    #[cfg(target_arch = "aarch64")]
    "pointwise_f32_8x8__neon" Pointwise Neon [8, 8] pointwise::entry::<Neon, 8, 2>;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    "pointwise_f32_4x8__simd128" Pointwise Simd128 [4, 8] pointwise::entry::<Simd128, 4, 2>;
    "pointwise_f32_4x8__portable" Pointwise Portable [4, 8] pointwise::entry::<Portable, 4, 1>;

    #[cfg(target_arch = "x86_64")]
    "depthwise_f32_4x16__avx512" Depthwise Avx512 [4, 16] depthwise::entry::<Avx512>;
    #[cfg(target_arch = "x86_64")]
    "depthwise_f32_4x8__avx2" Depthwise Avx2 [4, 8] depthwise::entry::<Avx2>;
    #[cfg(target_arch = "aarch64")]
    "depthwise_f32_4x4__neon" Depthwise Neon [4, 4] depthwise::entry::<Neon>;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    "depthwise_f32_4x4__simd128" Depthwise Simd128 [4, 4] depthwise::entry::<Simd128>;
    "depthwise_f32_4x8__portable" Depthwise Portable [4, 8] depthwise::entry::<Portable>;

    #[cfg(target_arch = "x86_64")]
    "first_f32_16x8__avx512" First Avx512 [16, 8] pairs::entry, pairs::pack;
    #[cfg(target_arch = "x86_64")]
    "first_f32_12x32__avx512" First Avx512 [12, 32] columns::entry::<Avx512, 12, 2>, columns::pack;
    #[cfg(target_arch = "x86_64")]
    "first_f32_24x16__avx512" First Avx512 [24, 16] columns::entry::<Avx512, 24, 1>, columns::pack;
    #[cfg(target_arch = "x86_64")]
    "first_f32_12x8__avx2" First Avx2 [12, 8] columns::entry::<Avx2, 12, 1>, columns::pack;
    #[cfg(target_arch = "aarch64")]
    "first_f32_12x8__neon" First Neon [12, 8] columns::entry::<Neon, 12, 2>, columns::pack;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    "first_f32_4x8__simd128" First Simd128 [4, 8] columns::entry::<Simd128, 4, 2>, columns::pack;
    "first_f32_4x8__portable" First Portable [4, 8] columns::entry::<Portable, 4, 1>, columns::pack;
};

/// The kernel called `name`, if this CPU can run it.
///
/// # Errors
/// No such kernel, or an instruction set this CPU lacks.
pub fn by_name(name: &str) -> Result<&'static Kernel> {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == name);
    let kernel = kernel.ok_or_else(|| Error::kernel(format!("no kernel is called {name:?}")))?;
    kernel.isa.require()?;
    Ok(kernel)
}

/// As [`by_name`], for an instruction set.
pub(crate) fn by_name_for(name: &str, isa: Isa) -> Result<&'static Kernel> {
    let kernel = by_name(name)?;
    if kernel.isa == isa {
        return Ok(kernel);
    }
    Err(Error::kernel(format!("{name} is a kernel for {}, not for {isa}", kernel.isa)))
}

fn first(isa: Isa, fits: impl Fn(&Kernel) -> bool) -> Result<&'static Kernel> {
    let kernel = KERNELS.iter().find(|kernel| kernel.isa == isa && fits(kernel));
    kernel.ok_or_else(|| Error::kernel(format!("{isa} has no kernel for this op")))
}

/// The kernel for a pointwise convolution: one vector wide where more would be padding.
pub(crate) fn pick_pointwise(isa: Isa, spec: PointwiseSpec) -> Result<&'static Kernel> {
    let is = |kernel: &Kernel| matches!(kernel.function, Function::Pointwise(_));
    let narrow = spec.outputs <= isa.lanes();
    first(isa, |kernel| is(kernel) && (!narrow || kernel.tile[1] == isa.lanes()))
        .or_else(|_| first(isa, is))
}

/// The kernel for a depthwise convolution.
pub(crate) fn pick_depthwise(isa: Isa) -> Result<&'static Kernel> {
    first(isa, |kernel| matches!(kernel.function, Function::Depthwise(_)))
}

/// The kernels for a first convolution, those first that compute the fewest columns of padding.
pub(crate) fn firsts(isa: Isa, outputs: usize) -> Vec<&'static Kernel> {
    let is = |kernel: &&Kernel| kernel.isa == isa && kernel.first().is_some();
    let mut kernels: Vec<_> = KERNELS.iter().filter(is).collect();
    kernels.sort_by_key(|kernel| outputs.div_ceil(kernel.tile[1]) * kernel.tile[1]);
    kernels
}

impl Kernel {
    /// The op it computes: `pointwise`, `depthwise`, `first`.
    pub fn op(&self) -> &'static str {
        self.name.split('_').next().unwrap_or(self.name)
    }

    pub(crate) fn pointwise(&self) -> Result<fn(PointwiseTask<'_>)> {
        match self.function {
            Function::Pointwise(function) => Ok(function),
            _ => Err(Error::kernel(format!("{} is no pointwise kernel", self.name))),
        }
    }

    pub(crate) fn depthwise(&self) -> Result<fn(DepthwiseTask<'_>)> {
        match self.function {
            Function::Depthwise(function) => Ok(function),
            _ => Err(Error::kernel(format!("{} is no depthwise kernel", self.name))),
        }
    }

    pub(crate) fn first(&self) -> Option<(fn(FirstTask<'_>), Pack)> {
        match self.function {
            Function::First(function, pack) => Some((function, pack)),
            _ => None,
        }
    }
}
