//! [`Runner`]: one plan, one input buffer, run again and again on one thread without allocating.

use std::fmt;
use std::sync::Arc;

use mobilenet_engine::{Elements, Plan, Session, TensorView};
use mobilenet_formats::DType;
use mobilenet_kernels::Pool;

use crate::error::{Error, ErrorKind, Result};
use crate::profile::Profile;

/// Computes some outputs of a signature for images in a buffer of its own.
///
/// ```no_run
/// use mobilenet::{Module, Request};
///
/// let module = Module::load("1.tar.gz")?;
/// let mut runner = module.runner(&Request::new("image_classification"))?;
/// runner.input_mut().fill(0.5);
/// runner.run()?;
/// println!("{:?}", runner.output(0));
/// # Ok::<(), mobilenet::Error>(())
/// ```
pub struct Runner {
    session: Session,
    threads: usize,
    shape: [usize; 4],
    input: Pixels,
    output_shapes: Vec<Vec<usize>>,
}

/// The images.
enum Pixels {
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
}

impl Pixels {
    /// So many values, or all there are.
    fn first(&self, count: usize) -> Elements<'_> {
        match self {
            Pixels::Floats(floats) => Elements::F32(&floats[..count.min(floats.len())]),
            Pixels::Bytes(bytes) => Elements::U8(&bytes[..count.min(bytes.len())]),
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("input", &self.shape)
            .field("outputs", &self.output_shapes)
            .finish_non_exhaustive()
    }
}

impl Runner {
    pub(crate) fn new(plan: Arc<Plan>, pool: Arc<Pool>, shape: [usize; 4]) -> Result<Self> {
        let length = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        let Some(length) = length.filter(|&length| length <= 1 << 33) else {
            let message = format!("images of shape {shape:?} are too large");
            return Err(Error::new(ErrorKind::Input, message));
        };
        let of_images = |dims: &[Option<usize>]| {
            dims.iter().map(|dim| dim.unwrap_or(shape[0])).collect::<Vec<usize>>()
        };
        let output_shapes =
            plan.outputs().iter().map(|port| of_images(port.shape.dims().unwrap_or_default()));
        let input = match plan.inputs().first().map(|port| port.dtype) {
            Some(DType::U8) => Pixels::Bytes(vec![0; length]),
            _ => Pixels::Floats(vec![0.0; length]),
        };
        Ok(Runner {
            output_shapes: output_shapes.collect(),
            threads: pool.threads(),
            session: Session::new(plan, pool),
            shape,
            input,
        })
    }

    /// The images: `[n, height, width, 3]`, values in [0, 1]. Empty where [`Request::bytes`] was
    /// asked for.
    ///
    /// [`Request::bytes`]: crate::Request::bytes
    pub fn input_mut(&mut self) -> &mut [f32] {
        match &mut self.input {
            Pixels::Floats(floats) => floats,
            Pixels::Bytes(_) => &mut [],
        }
    }

    /// The images: `[n, height, width, 3]`, values from 0 to 255. Empty unless [`Request::bytes`]
    /// was asked for.
    ///
    /// ```no_run
    /// use mobilenet::{Module, Request};
    ///
    /// let module = Module::load("1.tar.gz")?;
    /// let mut runner = module.runner(&Request::new("image_classification").bytes())?;
    /// runner.bytes_mut().fill(128);
    /// runner.run()?;
    /// # Ok::<(), mobilenet::Error>(())
    /// ```
    ///
    /// [`Request::bytes`]: crate::Request::bytes
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.input {
            Pixels::Bytes(bytes) => bytes,
            Pixels::Floats(_) => &mut [],
        }
    }

    /// The shape of the images: `[n, height, width, 3]`.
    pub fn input_shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Computes the outputs for what is in the input.
    ///
    /// # Errors
    /// None for a runner that was made without one, unless memory runs out.
    pub fn run(&mut self) -> Result<()> {
        let view = TensorView { shape: &self.shape, elements: self.input.first(usize::MAX) };
        Ok(self.session.run(&[view])?)
    }

    /// Output `index` of the request after the last run, row-major; empty where there is none.
    pub fn output(&self, index: usize) -> &[f32] {
        match self.session.output(index).map(|view| view.elements) {
            Ok(Elements::F32(values)) => values,
            _ => &[],
        }
    }

    /// The shape of output `index`; empty where there is none.
    pub fn output_shape(&self, index: usize) -> &[usize] {
        self.output_shapes.get(index).map_or(&[], Vec::as_slice)
    }

    /// The time of each step of the plan: the smallest of `runs` runs. Where threads share images
    /// between them, and not the work inside a step, one image is measured on one thread.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn profile(&mut self, runs: usize) -> Result<Profile> {
        let plan = Arc::clone(self.session.plan());
        let [images, rest @ ..] = self.shape;
        if images == 1 || !plan.runs_any_batch() {
            let input = TensorView { shape: &self.shape, elements: self.input.first(usize::MAX) };
            let measured = (images, self.threads);
            return profile(&plan, &mut self.session, input, measured, runs);
        }
        let [height, width, channels] = rest;
        let first = self.input.first(height * width * channels);
        let shape = [1, height, width, channels];
        let input = TensorView { shape: &shape, elements: first };
        let mut session = Session::new(Arc::clone(&plan), Arc::new(Pool::single()));
        profile(&plan, &mut session, input, (1, 1), runs)
    }

    /// The number of threads it uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The plan that runs.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }
}

fn profile(
    plan: &Plan,
    session: &mut Session,
    input: TensorView<'_>,
    measured: (usize, usize),
    runs: usize,
) -> Result<Profile> {
    let found = Profile::measure(plan, measured, runs, || {
        session.set_profiling(true);
        session.run(&[input])?;
        Ok(session.profile().unwrap_or_default().to_vec())
    });
    session.set_profiling(false);
    found
}
