//! The mean over an image and the pointwise convolution that reads it, a classifier as a rule, become
//! one step.

use super::separable::is_pointwise;
use super::sweep;
use crate::program::{Body, Program};

/// See the module.
pub(super) fn run(program: &mut Program) {
    let uses = program.uses();
    let producers = program.producers();
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        let Some(&input) = program.steps[i].inputs.first() else { continue };
        let means = program.root(input);
        let alone = uses[input.0] == 1 && uses[means.0] == 1;
        let Some(producer) = producers[means.0].filter(|_| alone) else { continue };
        let images = &program.steps[producer].inputs;
        let values: Vec<_> = images.iter().map(|&id| program.value(id)).collect();
        let is_mean = matches!(
            &program.steps[producer].body,
            Body::Other(recipe) if recipe.is_global_mean(&values)
        );
        let images = images.clone();
        let (before, after) = program.steps.split_at_mut(i);
        let Body::Convolution(product) = &after[0].body else { continue };
        if !is_mean || !is_pointwise(product) || product.geometry.output[..2] != [1, 1] {
            continue;
        }
        after[0].body = Body::Pooled(product.clone());
        after[0].inputs = images;
        after[0].sources.splice(0..0, before[producer].sources.iter().cloned());
        dead[producer] = true;
    }
    sweep(program, &dead);
}
