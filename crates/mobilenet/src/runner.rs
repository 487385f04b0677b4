//! [`Runner`]: one plan, one input buffer, run again and again on one thread without allocating.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mobilenet_engine::{Elements, Plan, Session, TensorView};
use mobilenet_kernels::Pool;

use crate::error::{Error, ErrorKind, Result};

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
    input: Vec<f32>,
    output_shapes: Vec<Vec<usize>>,
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
        Ok(Runner {
            output_shapes: output_shapes.collect(),
            threads: pool.threads(),
            session: Session::new(plan, pool),
            shape,
            input: vec![0.0; length],
        })
    }

    /// The images: `[n, height, width, 3]`, values in [0, 1].
    pub fn input_mut(&mut self) -> &mut [f32] {
        &mut self.input
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
        let view = TensorView { shape: &self.shape, elements: Elements::F32(&self.input) };
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

    /// The time of each step of the plan: the smallest of `runs` runs. Runs of several images are
    /// not measured: all zero.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn profile(&mut self, runs: usize) -> Result<Vec<Duration>> {
        let mut least = vec![Duration::MAX; self.plan().summary().steps.len()];
        for _ in 0..runs.max(1) {
            self.session.set_profiling(true);
            self.run()?;
            let times = self.session.profile().unwrap_or_default();
            least.iter_mut().zip(times).for_each(|(least, time)| *least = (*least).min(*time));
        }
        self.session.set_profiling(false);
        Ok(least)
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
