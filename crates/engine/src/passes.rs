//! Passes over a program: each makes it smaller without changing what it computes.
//!
//! Rules look only at a value's producer and its users; a value somebody asked for, or that
//! several steps use, is never fused away.

mod absorb;
mod gates;
mod pads;
pub(crate) mod separable;

use crate::program::Program;

/// One pass.
type Pass = fn(&mut Program);

/// Every pass, in the order they run.
const PASSES: &[(&str, Pass)] = &[
    ("absorb affines and activations", absorb::run),
    ("pads into convolutions", pads::run),
    ("absorb affines and activations", absorb::run),
    ("fuse depthwise and pointwise", separable::run),
    ("activations into batch norms that train", gates::forward),
    ("their gates into gradients", gates::backward),
];

/// Runs every pass.
pub(crate) fn run(program: &mut Program) {
    for (_, pass) in PASSES {
        pass(program);
    }
}

/// Removes the steps marked in `dead`.
fn sweep(program: &mut Program, dead: &[bool]) {
    let mut keep = dead.iter().map(|dead| !dead);
    program.steps.retain(|_| keep.next().unwrap_or(true));
}
