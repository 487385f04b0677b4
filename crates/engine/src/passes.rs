//! Passes over a program: each makes it smaller without changing what it computes.
//!
//! Rules look only at a value's producer and its users; a value somebody asked for, or that
//! several steps use, is never fused away.

mod absorb;
mod dead;
mod gates;
mod layers;
mod pads;
mod pooled;
pub(crate) mod separable;

use crate::program::Program;

/// One pass.
type Pass = fn(&mut Program);

/// The passes that leave one step for each op of a folded graph, in the order they run.
const FOLDS: &[(&str, Pass)] = &[
    ("drop what nobody reads", dead::run),
    ("absorb affines and activations", absorb::run),
    ("pads into convolutions", pads::run),
    ("absorb affines and activations", absorb::run),
];

/// The passes that make one step of several such ops, which run after those.
const FUSIONS: &[(&str, Pass)] = &[
    ("fuse depthwise and pointwise", separable::run),
    ("fuse global mean and classifier", pooled::run),
    ("activations into batch norms that train", gates::forward),
    ("their gates into gradients", gates::backward),
    ("gradients of a layer in one", layers::backward),
    ("batch norms applied where they are read", layers::norms),
    ("slopes of norms summed where they are written", layers::slopes),
    ("statistics taken where their input is written", layers::statistics),
];

/// Runs every pass.
pub(crate) fn run(program: &mut Program) {
    fold(program);
    for (_, pass) in FUSIONS {
        pass(program);
    }
}

/// Runs the passes that fold, and none that fuses.
pub(crate) fn fold(program: &mut Program) {
    for (_, pass) in FOLDS {
        pass(program);
    }
}

/// Removes the steps marked in `dead`.
fn sweep(program: &mut Program, dead: &[bool]) {
    let mut keep = dead.iter().map(|dead| !dead);
    program.steps.retain(|_| keep.next().unwrap_or(true));
}
