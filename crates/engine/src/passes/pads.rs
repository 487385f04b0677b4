//! `Pad` before a convolution becomes its own padding.

use super::sweep;
use crate::program::{Body, Program};

/// See the module.
pub(super) fn run(program: &mut Program) {
    let uses = program.uses();
    let producers = program.producers();
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        let Some(&input) = program.steps[i].inputs.first() else { continue };
        let Some(producer) = producers[input.0].filter(|_| uses[input.0] == 1) else { continue };
        let (before, after) = program.steps.split_at_mut(i);
        let (Body::Pad(pads), Body::Convolution(convolution)) =
            (&before[producer].body, &mut after[0].body)
        else {
            continue;
        };
        // Zeros of the pad would have to pass through `pre`.
        if convolution.pre.is_some() {
            continue;
        }
        let geometry = &mut convolution.geometry;
        for (axis, &[first, last]) in pads.iter().enumerate() {
            geometry.input[axis] -= first + last;
            geometry.pads[axis][0] += first;
            geometry.pads[axis][1] += last;
        }
        after[0].inputs.clone_from(&before[producer].inputs);
        after[0].sources.splice(0..0, before[producer].sources.iter().cloned());
        dead[producer] = true;
    }
    sweep(program, &dead);
}
