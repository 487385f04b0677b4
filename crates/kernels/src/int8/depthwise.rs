//! Depthwise convolution of bytes: every channel has its own small kernel.
//!
//! A dot product of four bytes takes four rows of one column of the kernel. So rows are copied
//! with their borders, four rows are transposed into quads of bytes, and where three rows of a
//! kernel leave a byte over, the same quads serve two output rows. Kernels of 3x3 have a body of
//! their own, `three`; `body` takes any other.

mod body;
pub(crate) mod three;

pub(crate) use body::{DepthwiseTask, entry};
use three::{Three, ThreeTask};

use super::line::Sums;
use super::product::check;
use super::records::{Lines, Records, split};
use super::rows::Rows;
use super::simd::place;
use super::table::{self, Kernel};
use super::{Multiplier, Rescale, Weights};
use crate::error::{Error, Result, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::window::Window;

/// Geometry of a depthwise convolution of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DepthwiseSpec {
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Outputs for each input channel.
    pub multiplier: usize,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// The input byte that means 0; what lies around the image.
    pub zero_point: u8,
}

impl DepthwiseSpec {
    /// `[height, width, channels * multiplier]` of one output image.
    ///
    /// # Errors
    /// A window that does not fit; sizes beyond memory.
    pub fn output(&self) -> Result<[usize; 3]> {
        let [height, width, channels] = self.input;
        product("depthwise input", &self.input)?;
        if channels == 0 || self.multiplier == 0 {
            return Err(Error::geometry("depthwise convolution without channels"));
        }
        let [height, width] = self.window.output([height, width])?;
        let channels = product("channels", &[channels, self.multiplier])?;
        product("depthwise output", &[height, width, channels])?;
        Ok([height, width, channels])
    }
}

/// A depthwise convolution with its weights packed.
#[derive(Clone)]
pub struct Depthwise {
    spec: DepthwiseSpec,
    output: [usize; 3],
    kernel: &'static Kernel,
    method: Method,
}

/// Which body it runs, with its weights.
#[derive(Clone)]
enum Method {
    Three(Three),
    Any(Packed),
}

/// Weights as the kernels read them. A row of outputs is cut into blocks of four vectors; with few
/// channels a block holds several pixels, and blocks repeat after a while.
#[derive(Clone)]
pub(crate) struct Packed {
    rows: Rows,
    /// Rows of input between output rows.
    stride: usize,
    /// Where each column of the kernel lies in a copied row.
    taps: Vec<usize>,
    /// Where each row of the kernel lies, in copied rows; as many more as a second output needs.
    lines: Vec<usize>,
    /// Output rows that quads serve: 1 or 2.
    sets: usize,
    /// Outputs in a row of blocks: a pixel's, or the whole row's.
    unit: usize,
    lanes: usize,
    blocks: Vec<Block>,
    /// For each block, column of the kernel, quad, pass and set: four vectors.
    weights: Lines,
    records: Records,
}

/// Four vectors of outputs.
#[derive(Clone)]
struct Block {
    /// First byte of its weights.
    weights: usize,
    /// Bytes that its largest weight is split into.
    passes: usize,
    fast: bool,
}

impl Depthwise {
    /// Packs `weights`, `[kernel height, kernel width, channels * multiplier]`, and `bias`,
    /// `[channels * multiplier]` (zeros if `None`), in steps of input scale times weight scale.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a geometry or slices that do not fit.
    pub fn new(
        isa: Isa,
        spec: DepthwiseSpec,
        weights: Weights<'_>,
        bias: Option<&[i32]>,
        rescale: Rescale<'_>,
    ) -> Result<Self> {
        let kernel = table::pick(isa)?;
        let output = spec.output()?;
        let taps = product("taps", &spec.window.kernel)?;
        check(weights, bias, [taps, output[2]])?;
        let source = Source { spec, channels: output[2], weights };
        let each = rescale.each(output[2])?;
        let method = match Three::new(kernel, &source, bias, (&rescale, &each))? {
            Some(three) => Method::Three(three),
            None => Method::Any(Packed::new(kernel, &source, bias, (&rescale, &each))?),
        };
        Ok(Self { spec, output, kernel, method })
    }

    /// Its geometry.
    pub fn spec(&self) -> DepthwiseSpec {
        self.spec
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// The kernel it runs.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, threads: usize) -> usize {
        threads * self.scratch()
    }

    fn scratch(&self) -> usize {
        match &self.method {
            Method::Three(three) => three.scratch(),
            Method::Any(packed) => packed.rows.needed(self.strip()) * packed.rows.row,
        }
    }

    /// Output rows of a task.
    fn strip(&self) -> usize {
        match &self.method {
            Method::Three(three) => three.strip(self.output[0]),
            Method::Any(packed) => packed.strip(self.output[0]),
        }
    }

    /// Computes `output`, `[batch, height, width, channels * multiplier]`, from `input`,
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
        scratch: &mut [u8],
    ) {
        let [height, width, channels] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "depthwise input");
        assert_eq!(output.len(), batch * height * width * channels, "depthwise output");
        let (row, strip) = (width * channels, self.strip());
        let scratch = (scratch, self.scratch());
        pool.for_each_chunk_scratch(output, strip * row, scratch, &|index, output, scratch| {
            let mut first = index * strip;
            let mut rest = output;
            while !rest.is_empty() {
                let (image, y) = (&input[first / height * image..][..image], first % height);
                let count = (rest.len() / row).min(height - y);
                let (output, after) = rest.split_at_mut(count * row);
                match &self.method {
                    Method::Three(three) => {
                        (self.kernel.three)(ThreeTask { three, image, y, output, scratch });
                    }
                    Method::Any(packed) => {
                        let copy = &mut scratch[..packed.rows.needed(count) * packed.rows.row];
                        packed.rows.fill(image, y, copy);
                        (self.kernel.depthwise)(DepthwiseTask { packed, input: copy, row, output });
                    }
                }
                (first, rest) = (first + count, after);
            }
        });
    }
}

impl Packed {
    fn new(
        kernel: &Kernel,
        source: &Source<'_>,
        bias: Option<&[i32]>,
        (rescale, each): (&Rescale<'_>, &[Multiplier]),
    ) -> Result<Self> {
        let spec = source.spec;
        let [_, width, channels] = spec.output()?;
        let DepthwiseSpec { input, multiplier, window, zero_point } = spec;
        let block = 4 * kernel.lanes;
        let phases = window.stride[1];
        let rows = Rows::new(input, window, (multiplier, phases), (width, block), zero_point)?;
        // Two output rows share quads where a quad holds the rows of both.
        let sets =
            if window.dilation[0] == 1 && window.kernel[0] + window.stride[0] <= 4 { 2 } else { 1 };
        let lines = window.kernel[0] + (sets - 1) * window.stride[0];
        let few = channels < block;
        let unit = if few { width * channels } else { channels };
        let repeat = if few { channels / divisor(channels, block) } else { usize::MAX };
        let blocks = unit.div_ceil(block).min(repeat);
        let records = Records::new(kernel, 4 * blocks, rescale)?;
        let mut result = Self {
            taps: (0..window.kernel[1]).map(|kx| rows.tap(kx)).collect(),
            lines: (0..lines).map(|line| line * window.dilation[0] * rows.row).collect(),
            rows,
            stride: window.stride[0],
            sets,
            unit,
            lanes: kernel.lanes,
            blocks: Vec::new(),
            weights: Lines::default(),
            records,
        };
        let mut bytes = Vec::new();
        for index in 0..blocks {
            let fast = result.records.fill(4 * index, 4, |output| {
                let channel = (index * block + output) % channels;
                let inside = few || index * block + output < channels;
                inside.then(|| source.sums(channel, bias, each[channel]))
            });
            let (start, passes) = (bytes.len(), result.push(source, index, &mut bytes));
            result.blocks.push(Block { weights: start, passes, fast });
        }
        result.weights = Lines::zeros(bytes.len());
        result.weights.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
        Ok(result)
    }

    /// Output rows of a task: an even number whose inputs fit the first-level cache.
    fn strip(&self, height: usize) -> usize {
        let fit = (24 << 10) / (self.rows.row * self.stride).max(1);
        fit.min(height.div_ceil(4)).next_multiple_of(2).max(2)
    }

    /// Appends the weights of a block; gives the passes they need.
    fn push(&self, source: &Source<'_>, index: usize, bytes: &mut Vec<i8>) -> usize {
        let block = 4 * self.lanes;
        // Lanes beyond the channels of a pixel have weights too; their sums are not stored.
        let channel = |output: usize| (index * block + output) % source.channels;
        let largest = (0..block).flat_map(|output| source.parts(channel(output))).max();
        let passes = largest.unwrap_or(1).max(1);
        let quads = self.lines.len().div_ceil(4);
        for kx in 0..self.taps.len() {
            for (quad, pass, set) in
                crate::depthwise::reference::positions([quads, passes, self.sets])
            {
                for (vector, lane) in (0..block).map(|i| (i / self.lanes, i % self.lanes)) {
                    let channel = channel(place(4, vector, lane));
                    bytes.extend((0..4).map(|line| {
                        let ky = (4 * quad + line).wrapping_sub(set * self.stride);
                        source.part(pass, [ky, kx, channel])
                    }));
                }
            }
        }
        passes
    }
}

/// The weights that are packed.
pub(crate) struct Source<'a> {
    spec: DepthwiseSpec,
    channels: usize,
    weights: Weights<'a>,
}

impl Source<'_> {
    fn weight(&self, [ky, kx, channel]: [usize; 3]) -> i32 {
        let [height, width] = self.spec.window.kernel;
        if ky >= height {
            return 0;
        }
        self.weights.at((ky * width + kx) * self.channels + channel)
    }

    /// What pass `pass` multiplies by.
    fn part(&self, pass: usize, at: [usize; 3]) -> i8 {
        split(self.weight(at)).nth(pass).unwrap_or(0)
    }

    /// The bytes that each weight of a channel is split into.
    fn parts(&self, channel: usize) -> impl Iterator<Item = usize> {
        let [height, width] = self.spec.window.kernel;
        (0..height * width)
            .map(move |tap| split(self.weight([tap / width, tap % width, channel])).count())
    }

    fn sums(&self, channel: usize, bias: Option<&[i32]>, multiplier: Multiplier) -> Sums {
        let [height, width] = self.spec.window.kernel;
        let taps = (0..height * width).map(|tap| [tap / width, tap % width, channel]);
        Sums::new(self.bias(channel, bias), multiplier, taps.map(|at| self.weight(at)))
    }

    /// The bias of a channel with the zero point of the inputs taken in.
    fn bias(&self, channel: usize, bias: Option<&[i32]>) -> i32 {
        let [height, width] = self.spec.window.kernel;
        let sum = (0..height * width).fold(0i32, |sum, tap| {
            sum.wrapping_add(self.weight([tap / width, tap % width, channel]))
        });
        let bias = bias.map_or(0, |bias| bias[channel]);
        bias.wrapping_sub(sum.wrapping_mul(i32::from(self.spec.zero_point)))
    }
}

/// Greatest common divisor.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}
