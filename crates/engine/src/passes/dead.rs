//! Steps that nobody reads go: what the steps on bytes of a quantised network stand for.

use super::sweep;
use crate::program::{Program, Storage};

/// See the module.
pub(super) fn run(program: &mut Program) {
    let mut read = vec![false; program.values.len()];
    for &output in &program.outputs {
        read[program.root(output).0] = true;
    }
    let mut dead = vec![false; program.steps.len()];
    for (i, step) in program.steps.iter().enumerate().rev() {
        let changes = |root: usize| matches!(program.values[root].storage, Storage::State(_));
        let mut roots = step.outputs.iter().map(|&output| program.root(output).0);
        dead[i] = !roots.any(|root| read[root] || changes(root));
        if !dead[i] {
            for &input in &step.inputs {
                read[program.root(input).0] = true;
            }
        }
    }
    sweep(program, &dead);
}
