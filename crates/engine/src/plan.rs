//! The plan: what runs on this machine for given inputs and outputs. Steps with their kernels
//! and packed weights, and one place in the arena for every value.
//!
//! A plan holds no values of inputs or variables that change; a [`crate::Session`] does.

mod compile;
mod inspect;
mod memory;

pub(crate) use compile::{PROBE, lowered};
pub(crate) use memory::ALIGNMENT;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::{Isa, Precision, Tuning};

use crate::facts::Shape;
use crate::fold::State;
use crate::steps::Kernel;

pub use inspect::{StepInfo, Summary};

/// What a plan is compiled for.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The instruction set; by default the best this machine has.
    pub isa: Isa,
    /// The precision of pointwise convolutions whose weights are constant.
    pub precision: Precision,
    /// Threads that sessions will use: scratch memory is planned for so many.
    pub threads: usize,
    /// Operations to run besides those the outputs need, such as a meta graph's `update_ops`.
    pub targets: Vec<String>,
    /// Variables that sessions keep and callers may set, by name; those that an operation of
    /// the plan changes are kept anyway, all others become constants.
    pub variables: Vec<String>,
    /// Inputs of `float32` that sessions take as `uint8` instead, by name, and what each byte is
    /// multiplied by: the same results as with the products, without a tensor of them where the
    /// first step is a convolution.
    pub bytes: Vec<(String, f32)>,
    /// Most bytes the arena of a session may have.
    pub max_arena_bytes: usize,
    /// Kernels that were measured; where there are none, the cost model decides.
    pub tuning: Option<Arc<Tuning>>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            isa: Isa::detect(),
            precision: Precision::F32,
            threads: 1,
            targets: Vec::new(),
            variables: Vec::new(),
            bytes: Vec::new(),
            max_arena_bytes: 16 << 30,
            tuning: None,
        }
    }
}

/// An input or output of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// TensorFlow's name of the tensor, `node:port`.
    pub name: String,
    /// Its dtype.
    pub dtype: DType,
    /// Its shape; dimension 0 is unknown where the plan runs any number of images.
    pub shape: Shape,
}

/// Where an operand's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the arena, at an offset: for each image, or in all, so many bytes.
    Arena { offset: usize, bytes: usize },
    /// With the caller.
    Input { index: usize, bytes: usize },
    /// In the plan.
    Constant(Arc<Tensor>),
    /// In the session.
    State(usize),
}

/// A step with its kernel.
pub(crate) struct PlannedStep {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) inputs: Vec<Place>,
    pub(crate) outputs: Vec<Place>,
    /// In the arena.
    pub(crate) scratch: Range<usize>,
    pub(crate) info: StepInfo,
}

/// A compiled plan: [`Plan::compile`] makes it, any number of [`crate::Session`]s share it.
pub struct Plan {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) output_places: Vec<Place>,
    pub(crate) steps: Vec<PlannedStep>,
    pub(crate) states: Vec<State>,
    pub(crate) arena_bytes: usize,
    /// Any number of images; places count bytes for each image.
    pub(crate) any_batch: bool,
    pub(crate) isa: Isa,
}

impl Plan {
    /// The inputs, in the order sessions take them.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs, in the order sessions give them.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Whether dimension 0 of inputs and outputs may be any number of images.
    pub fn runs_any_batch(&self) -> bool {
        self.any_batch
    }

    /// The instruction set the kernels were chosen for.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("steps", &self.steps.len())
            .field("arena_bytes", &self.arena_bytes)
            .finish_non_exhaustive()
    }
}
