//! [`Trial`]: a convolution of made-up weights and pixels, to be timed; [`Tunable`]: which
//! convolutions there are, and what there is to choose from.

use crate::choice::Choice;
use crate::conv2d::{Conv2d, Conv2dSpec};
use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::{Result, product};
use crate::isa::Isa;
use crate::pointwise::{Pointwise, PointwiseSpec};
use crate::pool::Pool;
use crate::separable::{Separable, SeparableSpec};
use crate::table::KERNELS;
use crate::window::Window;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

/// A convolution whose kernel is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tunable {
    /// Any convolution but the following.
    Conv2d(Conv2dSpec),
    /// Depthwise and pointwise in one.
    Separable(SeparableSpec),
    /// A product with so many rows.
    Pointwise(PointwiseSpec, usize),
    /// Depthwise.
    Depthwise(DepthwiseSpec),
}

/// Its shape, such as `separable 96x96x8->16 3x3/2`: the same for what takes the same time.
impl fmt::Display for Tunable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = |[height, width, channels]: [usize; 3]| format!("{height}x{width}x{channels}");
        match self {
            Self::Conv2d(spec) => {
                let affine = if spec.affine.is_some() { " affine" } else { "" };
                let (input, window) = (image(spec.input), Shown(&spec.window));
                write!(f, "conv2d {input}->{} {window}{affine}", spec.outputs)
            }
            Self::Separable(SeparableSpec { depthwise, outputs, .. }) => {
                let window = Shown(&depthwise.window);
                write!(f, "separable {}->{outputs} {window}", image(depthwise.input))
            }
            Self::Pointwise(spec, rows) => {
                write!(f, "pointwise {rows}x{}->{}", spec.inputs, spec.outputs)
            }
            Self::Depthwise(spec) => {
                let times = if spec.multiplier == 1 {
                    String::new()
                } else {
                    format!("*{}", spec.multiplier)
                };
                write!(f, "depthwise {}{times} {}", image(spec.input), Shown(&spec.window))
            }
        }
    }
}

/// A window in few characters.
struct Shown<'a>(&'a Window);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { kernel, stride, dilation, padding } = self.0;
        write!(f, "{}x{}/{}", kernel[0], kernel[1], stride[0])?;
        if stride[0] != stride[1] {
            write!(f, "x{}", stride[1])?;
        }
        if *dilation != [1, 1] {
            write!(f, " dilated {}x{}", dilation[0], dilation[1])?;
        }
        let sides = [padding.top, padding.bottom, padding.left, padding.right];
        if sides != [0; 4] {
            write!(f, " pad {},{},{},{}", sides[0], sides[1], sides[2], sides[3])?;
        }
        Ok(())
    }
}

impl Tunable {
    /// Multiply-adds for one image.
    ///
    /// # Errors
    /// A geometry that is none.
    pub fn multiply_adds(&self) -> Result<usize> {
        let taps = |window: &Window| window.kernel.iter().product::<usize>();
        match self {
            Self::Conv2d(spec) => {
                let [height, width, outputs] = spec.output()?;
                let pixels = height * width * outputs;
                product("multiply-adds", &[pixels, taps(&spec.window), spec.input[2]])
            }
            Self::Separable(SeparableSpec { depthwise, outputs, .. }) => {
                let [height, width, channels] = depthwise.output()?;
                let each = taps(&depthwise.window) + outputs;
                product("multiply-adds", &[height * width, channels, each])
            }
            Self::Pointwise(spec, rows) => {
                product("multiply-adds", &[*rows, spec.inputs, spec.outputs])
            }
            Self::Depthwise(spec) => {
                product("multiply-adds", &[spec.output()?.iter().product(), taps(&spec.window)])
            }
        }
    }

    /// The kernels of the table that may fit; [`Trial::new`] says which do.
    pub fn kernels(&self, isa: Isa) -> Vec<Choice> {
        let ops: &[&str] = match self {
            Self::Conv2d(_) => &["first", "pointwise"],
            Self::Separable(_) | Self::Pointwise(..) => &["pointwise"],
            Self::Depthwise(_) => &["depthwise"],
        };
        let fits = KERNELS.iter().filter(|kernel| kernel.isa == isa && ops.contains(&kernel.op()));
        fits.map(|kernel| Choice::of(kernel.name)).collect()
    }

    /// Heights of strips to choose from; nothing where there are no strips.
    pub fn strips(&self) -> Vec<usize> {
        let Self::Separable(spec) = self else { return Vec::new() };
        let height = spec.depthwise.output().map_or(0, |[height, ..]| height);
        let mut strips: Vec<usize> = [1, 2, 3, 4, 6, 8, 12, 16, 24, 48].into();
        strips.retain(|&rows| rows < height);
        strips.push(height);
        strips
    }
}

/// A prepared convolution.
#[derive(Clone)]
enum Op {
    Conv2d(Conv2d),
    Separable(Separable),
    Pointwise(Pointwise, usize),
    Depthwise(Depthwise),
}

/// A prepared convolution with a place for its input and output.
pub struct Trial {
    op: Op,
    input: Buffer,
    output: Buffer,
    scratch: Buffer,
}

impl Trial {
    /// Prepares `op` for one image as `choice` says, with made-up weights and pixels, to be run by so
    /// many threads.
    ///
    /// # Errors
    /// An instruction set this CPU lacks, a kernel that does not fit, a geometry that is none.
    pub fn new(isa: Isa, op: &Tunable, choice: Choice, threads: usize) -> Result<Self> {
        let (op, input, output) = match *op {
            Tunable::Conv2d(spec) => {
                let weights = small(
                    spec.window.kernel.iter().product::<usize>() * spec.input[2] * spec.outputs,
                );
                let bias = small(spec.outputs);
                let op = Conv2d::with_choice(isa, spec, &weights, Some(&bias), choice)?;
                let output = op.output().iter().product();
                (Op::Conv2d(op), spec.input.iter().product(), output)
            }
            Tunable::Separable(spec) => {
                let SeparableSpec { depthwise: half, outputs, .. } = spec;
                let [_, _, channels] = half.output()?;
                let taps = half.window.kernel.iter().product::<usize>();
                let (first, second) = (small(taps * channels), small(channels * outputs));
                let bias = (small(channels), small(outputs));
                let op = Separable::with_choice(
                    (isa, choice),
                    spec,
                    (&first, Some(&bias.0)),
                    (&second, Some(&bias.1)),
                )?;
                let output = op.output().iter().product();
                (Op::Separable(op), half.input.iter().product(), output)
            }
            Tunable::Pointwise(spec, rows) => {
                let (weights, bias) = (small(spec.inputs * spec.outputs), small(spec.outputs));
                let op = Pointwise::with_choice(isa, spec, &weights, Some(&bias), choice)?;
                (Op::Pointwise(op, rows), rows * spec.inputs, rows * spec.outputs)
            }
            Tunable::Depthwise(spec) => {
                let [height, width, channels] = spec.output()?;
                let taps = spec.window.kernel.iter().product::<usize>();
                let op =
                    Depthwise::new(isa, spec, &small(taps * channels), Some(&small(channels)))?;
                (Op::Depthwise(op), spec.input.iter().product(), height * width * channels)
            }
        };
        let scratch = match &op {
            Op::Conv2d(op) => op.scratch_len(threads),
            Op::Separable(op) => op.scratch_len(threads),
            Op::Pointwise(..) | Op::Depthwise(_) => 0,
        };
        let [output, scratch] = [output, scratch].map(|len| Buffer::of(&vec![0.0; len]));
        Ok(Self { op, input: Buffer::of(&values(input)), output, scratch })
    }

    /// What it runs, by name.
    pub fn kernel(&self) -> String {
        match &self.op {
            Op::Conv2d(op) => op.kernel().name.to_owned(),
            Op::Separable(op) => {
                let (depthwise, pointwise) = op.parts();
                format!("{} + {}", depthwise.kernel().name, pointwise.kernel().name)
            }
            Op::Pointwise(op, _) => op.kernel().name.to_owned(),
            Op::Depthwise(op) => op.kernel().name.to_owned(),
        }
    }

    /// The separable convolution, if it is one.
    pub fn separable(&self) -> Option<&Separable> {
        match &self.op {
            Op::Separable(op) => Some(op),
            _ => None,
        }
    }

    /// Its made-up input.
    pub fn input(&self) -> &[f32] {
        &self.input
    }

    /// Floats of the output.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Computes its own output from its own input.
    pub fn run(&mut self, pool: &Pool) {
        let Self { op, input, output, scratch } = self;
        op.run(pool, input, output, scratch);
    }

    /// Floats of scratch memory.
    pub fn scratch_len(&self) -> usize {
        self.scratch.len()
    }

    /// Computes another output from another input of the same sizes.
    pub fn run_on(&self, pool: &Pool, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
        self.op.run(pool, input, output, scratch);
    }
}

impl Op {
    fn run(&self, pool: &Pool, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
        match self {
            Self::Conv2d(op) => op.run(pool, 1, input, output, scratch),
            Self::Separable(op) => op.run(pool, 1, input, output, scratch),
            Self::Pointwise(op, rows) => op.run(pool, *rows, input, output),
            Self::Depthwise(op) => op.run(pool, 1, input, output),
        }
    }
}

/// The least time of each trial on one thread, measured for about `time`: all in turn, so that what
/// else happens on the machine hits all of them alike, and five times at least.
pub fn least_times(trials: &mut [Trial], time: Duration) -> Vec<Duration> {
    let mut least = vec![Duration::MAX; trials.len()];
    let (pool, start, mut rounds) = (Pool::single(), Instant::now(), 0);
    while rounds < 5 || start.elapsed() < time {
        for (trial, least) in trials.iter_mut().zip(&mut least) {
            self::time(least, 3, || trial.run(&pool));
        }
        rounds += 1;
    }
    least
}

/// Lowers `least` to the least time that `repeats` times of `work` took.
pub fn time(least: &mut Duration, repeats: usize, mut work: impl FnMut()) {
    for _ in 0..repeats {
        let start = Instant::now();
        work();
        *least = (*least).min(start.elapsed());
    }
}

/// Values on a cache-line boundary, as in an arena.
pub struct Buffer<T = f32> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Buffer<T> {
    /// A copy of `values`.
    pub fn of(values: &[T]) -> Self {
        let room = 64 / size_of::<T>().max(1);
        let mut data = vec![T::default(); values.len() + room];
        let start = data.as_ptr().align_offset(64).min(room);
        data[start..start + values.len()].copy_from_slice(values);
        Self { data, start, len: values.len() }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[self.start..][..self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..][..self.len]
    }
}

/// Made-up pixels, -1 to 1.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1009) as f32 / 504.0 - 1.0).collect()
}

/// Made-up weights.
fn small(len: usize) -> Vec<f32> {
    values(len).iter().map(|x| x * 0.1).collect()
}
