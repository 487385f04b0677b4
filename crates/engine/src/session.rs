//! A session runs a plan: it owns the arena and the variables that change, and nothing else.
//!
//! After the first call with a number of images, running allocates nothing. Results do not
//! depend on the number of threads: one image (or a plan of a fixed batch) is split inside
//! kernels, several images are split between threads, each with an arena of its own, so that
//! activations stay in its cache.

mod arena;
mod profile;
mod step;
mod view;

use std::sync::Arc;
use std::time::Duration;

use mobilenet_formats::Tensor;
use mobilenet_kernels::Pool;

use crate::error::{Error, Result, shorten};
use crate::plan::{Place, Plan};

use arena::AlignedBytes;
pub use view::{Elements, TensorView};

/// Runs one plan: holds the arena and the variables that change.
pub struct Session {
    plan: Arc<Plan>,
    pool: Arc<Pool>,
    /// One arena for each thread that is in use.
    arenas: Vec<AlignedBytes>,
    /// The variables, as bytes.
    states: Vec<AlignedBytes>,
    /// Outputs of several images, gathered: one buffer for each output.
    gathered: Vec<AlignedBytes>,
    /// Outputs of several images as threads leave them: image by image.
    rows: AlignedBytes,
    shapes: Vec<Vec<usize>>,
    /// Whether the outputs are in `gathered`, not in the arena.
    is_gathered: bool,
    seed: u64,
    runs: u64,
    profile: Option<Vec<Duration>>,
}

impl Session {
    /// A session of `plan` whose kernels use the threads of `pool`.
    pub fn new(plan: Arc<Plan>, pool: Arc<Pool>) -> Self {
        let states = plan.states.iter().map(|state| AlignedBytes::of(&state.initial)).collect();
        let dims = |port: &crate::plan::Port| {
            let dims = port.shape.dims().unwrap_or_default();
            dims.iter().map(|dim| dim.unwrap_or(0)).collect()
        };
        let shapes = plan.outputs.iter().map(dims).collect();
        let gathered = plan.outputs.iter().map(|_| AlignedBytes::default()).collect();
        Self {
            arenas: Vec::new(),
            states,
            gathered,
            rows: AlignedBytes::default(),
            shapes,
            is_gathered: false,
            seed: 0,
            runs: 0,
            profile: None,
            plan,
            pool,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Decides what random steps (dropout) draw, together with the number of the run.
    pub fn set_seed(&mut self, seed: u64, runs: u64) {
        (self.seed, self.runs) = (seed, runs);
    }

    /// Computes the outputs from `inputs`, which are as [`Plan::inputs`] says.
    ///
    /// # Errors
    /// `Input` where count, dtype or shape of `inputs` do not fit the plan.
    pub fn run(&mut self, inputs: &[TensorView<'_>]) -> Result<()> {
        let images = self.check(inputs)?;
        self.resize_outputs(images);
        let pool = Arc::clone(&self.pool);
        let _active = pool.activate();
        if self.plan.any_batch && images != 1 {
            self.run_images(inputs, images)?;
        } else {
            self.run_whole(inputs)?;
        }
        self.runs = self.runs.wrapping_add(1);
        Ok(())
    }

    /// Output `index` of the last run.
    ///
    /// # Errors
    /// `NotFound` where there is no such output, or nothing has been run.
    pub fn output(&self, index: usize) -> Result<TensorView<'_>> {
        let missing = || Error::not_found(format!("no output {index}: run the session first"));
        let place = self.plan.output_places.get(index).ok_or_else(missing)?;
        let bytes = if self.is_gathered {
            self.gathered[index].get()
        } else {
            let arena = self.arenas.first().ok_or_else(missing)?;
            match *place {
                Place::Arena { offset, bytes } => &arena.get()[offset..offset + bytes],
                _ => return Err(missing()),
            }
        };
        TensorView::from_bytes(&self.shapes[index], self.plan.outputs[index].dtype, bytes)
    }

    /// Runs once and copies the outputs out.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn call(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let views: Vec<TensorView<'_>> =
            inputs.iter().map(|tensor| TensorView::of(tensor)).collect::<Result<_>>()?;
        self.run(&views)?;
        (0..self.plan.outputs.len()).map(|index| self.output(index)?.to_tensor()).collect()
    }

    /// The value of a variable that this session keeps.
    ///
    /// # Errors
    /// `NotFound` where the plan keeps no such variable.
    pub fn variable(&self, name: &str) -> Result<TensorView<'_>> {
        let index = self.state(name)?;
        let initial = &self.plan.states[index].initial;
        TensorView::from_bytes(initial.shape(), initial.dtype(), self.states[index].get())
    }

    /// Sets a variable that this session keeps.
    ///
    /// # Errors
    /// `NotFound` where the plan keeps no such variable, `Input` where dtype or shape differ.
    pub fn set_variable(&mut self, name: &str, value: TensorView<'_>) -> Result<()> {
        let index = self.state(name)?;
        let initial = &self.plan.states[index].initial;
        if value.shape != initial.shape() || value.elements.dtype() != initial.dtype() {
            let message = format!(
                "variable '{}' has {}{:?}, {}{:?} was given",
                shorten(name),
                initial.dtype(),
                initial.shape(),
                value.elements.dtype(),
                value.shape
            );
            return Err(Error::input(message));
        }
        self.states[index].get_mut().copy_from_slice(value.elements.bytes());
        Ok(())
    }

    /// The names of the variables that this session keeps.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = &str> {
        self.plan.states.iter().map(|state| state.variable.name.as_str())
    }

    fn state(&self, name: &str) -> Result<usize> {
        let found = self.plan.states.iter().position(|state| state.variable.name == name);
        found.ok_or_else(|| {
            Error::not_found(format!("the plan keeps no variable '{}'", shorten(name)))
        })
    }

    /// The number of images of `inputs`.
    fn check(&self, inputs: &[TensorView<'_>]) -> Result<usize> {
        let ports = &self.plan.inputs;
        if inputs.len() != ports.len() {
            let message = format!("{} inputs given, {} wanted", inputs.len(), ports.len());
            return Err(Error::input(message));
        }
        let mut images = None;
        for (view, port) in inputs.iter().zip(ports) {
            let dims = port.shape.dims().unwrap_or_default();
            let known = dims.iter().zip(view.shape).all(|(a, b)| a.is_none_or(|a| a == *b));
            let dtype = view.elements.dtype();
            if dims.len() != view.shape.len() || !known || dtype != port.dtype {
                let (name, wanted, shape) = (&port.name, &port.shape, view.shape);
                let message =
                    format!("input '{name}' is {dtype}{shape:?}, {}{wanted} wanted", port.dtype);
                return Err(Error::input(message));
            }
            if let (Some(None), Some(&rows)) = (dims.first(), view.shape.first())
                && *images.get_or_insert(rows) != rows
            {
                return Err(Error::input("inputs have different numbers of images"));
            }
        }
        Ok(images.unwrap_or(1))
    }

    fn resize_outputs(&mut self, images: usize) {
        for (shape, port) in self.shapes.iter_mut().zip(&self.plan.outputs) {
            if let (Some(first), Some([None, ..])) = (shape.first_mut(), port.shape.dims()) {
                *first = images;
            }
        }
    }

    /// One image, or a fixed batch: threads work inside each step.
    fn run_whole(&mut self, inputs: &[TensorView<'_>]) -> Result<()> {
        if self.arenas.is_empty() {
            self.arenas.push(AlignedBytes::zeroed(self.plan.arena_bytes));
        }
        self.is_gathered = false;
        let context =
            step::Context { inputs, first: 0, pool: &self.pool, run: self.runs, seed: self.seed };
        let arena = self.arenas[0].get_mut();
        for (i, planned) in self.plan.steps.iter().enumerate() {
            let timer = self.profile.as_ref().map(|_| std::time::Instant::now());
            step::run(planned, &context, arena, &mut self.states)?;
            if let (Some(profile), Some(timer)) = (&mut self.profile, timer) {
                profile[i] += timer.elapsed();
            }
        }
        Ok(())
    }

    /// Several images: threads take images in turn, each runs all steps alone.
    fn run_images(&mut self, inputs: &[TensorView<'_>], images: usize) -> Result<()> {
        self.is_gathered = true;
        let plan = &self.plan;
        while self.arenas.len() < self.pool.threads() {
            self.arenas.push(AlignedBytes::zeroed(plan.arena_bytes));
        }
        let row = step::row_bytes(&plan.output_places);
        self.rows.resize(row.saturating_mul(images));
        let failed = std::sync::Mutex::new(None);
        let single = Pool::single();
        let (seed, run) = (self.seed, self.runs);
        self.pool.for_each_chunk_with(
            self.rows.get_mut(),
            row.max(1),
            &mut self.arenas,
            &|image, row, arena| {
                let context = step::Context { inputs, first: image, pool: &single, run, seed };
                if let Err(error) = step::run_all(plan, &context, arena.get_mut(), row)
                    && let Ok(mut failed) = failed.lock()
                {
                    *failed = Some(error);
                }
            },
        );
        if let Some(error) = failed.into_inner().unwrap_or_default() {
            return Err(error);
        }
        step::gather(&self.plan.output_places, self.rows.get(), &mut self.gathered, images);
        Ok(())
    }
}
