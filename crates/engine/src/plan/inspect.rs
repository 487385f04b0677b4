//! What a plan consists of, for people: `inspect --stage plan` and profiles.

use mobilenet_kernels::Tunable;

use super::Plan;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInfo {
    /// The kernel, such as `pointwise_f32_8x32__avx512`.
    pub kernel: String,
    /// The graph's nodes that this step computes, in order.
    pub nodes: Vec<String>,
    /// Shapes of the inputs; one image where the plan runs any number.
    pub inputs: Vec<Vec<usize>>,
    /// Shapes of the outputs; likewise.
    pub outputs: Vec<Vec<usize>>,
    /// Multiply-adds; likewise.
    pub multiply_adds: u64,
    /// Bytes of scratch memory.
    pub scratch_bytes: usize,
    /// Whether it computes on bytes, not on floats.
    pub on_bytes: bool,
    /// The convolution it is, where its kernel is a choice.
    pub tunable: Option<Tunable>,
}

/// A plan in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Every step, in order.
    pub steps: Vec<StepInfo>,
    /// Bytes of one arena: all intermediate values, for one image where the plan runs any number.
    pub arena_bytes: usize,
    /// Multiply-adds of all steps.
    pub multiply_adds: u64,
    /// The instruction set.
    pub isa: String,
}

impl Plan {
    /// What the plan consists of.
    pub fn summary(&self) -> Summary {
        let steps: Vec<StepInfo> = self.steps.iter().map(|step| step.info.clone()).collect();
        Summary {
            arena_bytes: self.arena_bytes,
            multiply_adds: steps.iter().map(|step| step.multiply_adds).sum(),
            isa: self.isa.to_string(),
            steps,
        }
    }
}
