//! Convolution of bytes.

use super::{Multiplier, Rescale, Weights};
use crate::error::{Error, Result, check_len, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::window::Window;

/// Geometry of a convolution of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dSpec {
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Output channels.
    pub outputs: usize,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// The input byte that means 0; what lies around the image.
    pub zero_point: u8,
}

impl Conv2dSpec {
    /// `[height, width, channels]` of one output image.
    ///
    /// # Errors
    /// A window that does not fit; sizes beyond memory.
    pub fn output(&self) -> Result<[usize; 3]> {
        product("convolution input", &self.input)?;
        if self.input[2] == 0 || self.outputs == 0 {
            return Err(Error::geometry("convolution without channels"));
        }
        let [height, width] = self.window.output([self.input[0], self.input[1]])?;
        product("convolution output", &[height, width, self.outputs])?;
        Ok([height, width, self.outputs])
    }
}

/// A convolution with its weights packed.
#[derive(Clone)]
pub struct Conv2d {
    spec: Conv2dSpec,
    output: [usize; 3],
    weights: Vec<i32>,
    bias: Vec<i32>,
    multipliers: Vec<Multiplier>,
    zero_point: i32,
    range: [i32; 2],
}

impl Conv2d {
    /// Packs `weights`, `[outputs, kernel height, kernel width, channels]`, and `bias`,
    /// `[outputs]` (zeros if `None`), in steps of input scale times weight scale.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a geometry or slices that do not fit.
    pub fn new(
        isa: Isa,
        spec: Conv2dSpec,
        weights: Weights<'_>,
        bias: Option<&[i32]>,
        rescale: Rescale<'_>,
    ) -> Result<Self> {
        isa.require()?;
        let output = spec.output()?;
        let [ky, kx] = spec.window.kernel;
        let patch = product("patch", &[ky, kx, spec.input[2]])?;
        check_len("weights", weights.values, product("weights", &[patch, spec.outputs])?)?;
        check_len("bias", bias.unwrap_or(&[]), bias.map_or(0, |_| spec.outputs))?;
        Ok(Self {
            spec,
            output,
            weights: (0..weights.values.len()).map(|index| weights.at(index)).collect(),
            bias: bias.map_or_else(|| vec![0; spec.outputs], <[i32]>::to_vec),
            multipliers: rescale.each(spec.outputs)?,
            zero_point: i32::from(rescale.zero_point),
            range: rescale.range.map(i32::from),
        })
    }

    /// Its geometry.
    pub fn spec(&self) -> Conv2dSpec {
        self.spec
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, _threads: usize) -> usize {
        0
    }

    /// Computes `output`, `[batch, height, width, outputs]`, from `input`,
    /// `[batch, height, width, channels]`.
    ///
    /// # Panics
    /// If a slice does not fit `batch`, or `scratch` is shorter than
    /// [`scratch_len`](Self::scratch_len).
    pub fn run(
        &self,
        pool: &Pool,
        batch: usize,
        input: &[u8],
        output: &mut [u8],
        _scratch: &mut [u8],
    ) {
        let [height, width, outputs] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "convolution input");
        assert_eq!(output.len(), batch * height * width * outputs, "convolution output");
        pool.for_each_chunk(output, width * outputs, &|index, output| {
            self.row(&input[index / height * image..][..image], index % height, output);
        });
    }

    fn row(&self, image: &[u8], y: usize, output: &mut [u8]) {
        let Conv2dSpec { input: [height, width, channels], outputs, window, zero_point } =
            self.spec;
        let ys = window.taps(0, y, height);
        for (index, to) in output.iter_mut().enumerate() {
            let (x, o) = (index / outputs, index % outputs);
            let xs = window.taps(1, x, width);
            let mut sum = self.bias[o];
            for (ky, kx) in (ys.0..ys.1).flat_map(|ky| (xs.0..xs.1).map(move |kx| (ky, kx))) {
                let iy = (window.start(0, y) + (ky * window.dilation[0]) as isize) as usize;
                let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
                let pixel = &image[(iy * width + ix) * channels..][..channels];
                let tap = ((o * window.kernel[0] + ky) * window.kernel[1] + kx) * channels;
                for (&value, weight) in pixel.iter().zip(&self.weights[tap..tap + channels]) {
                    let product = (i32::from(value) - i32::from(zero_point)) * weight;
                    sum = sum.wrapping_add(product);
                }
            }
            let value = self.multipliers[o].apply(sum).wrapping_add(self.zero_point);
            *to = value.clamp(self.range[0], self.range[1]) as u8;
        }
    }
}
