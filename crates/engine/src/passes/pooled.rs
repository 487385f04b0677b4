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
        let images = program.steps[producer].inputs.clone();
        let values: Vec<_> = images.iter().map(|&id| program.value(id)).collect();
        let Body::Other(recipe) = &program.steps[producer].body else { continue };
        // The image's channels, unless it has no pixels; between mean and product they may be dealt out anew.
        let whole = values.first().filter(|image| !image.shape.contains(&0));
        let channels = whole.and_then(|image| image.shape.last().copied());
        let is_mean = recipe.is_global_mean(&values);
        let (before, after) = program.steps.split_at_mut(i);
        let Body::Convolution(product) = &after[0].body else { continue };
        let geometry = &product.geometry;
        let reads = geometry.output[..2] == [1, 1] && Some(geometry.input[2]) == channels;
        if !is_mean || !reads || !is_pointwise(product) {
            continue;
        }
        after[0].body = Body::Pooled(product.clone());
        after[0].inputs = images;
        after[0].sources.splice(0..0, before[producer].sources.iter().cloned());
        dead[producer] = true;
    }
    sweep(program, &dead);
}
