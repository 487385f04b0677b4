//! The gradient of batch norm and both gradients of the convolution before it become one step,
//! which keeps what flows between them in cache.

use super::sweep;
use crate::ops::By;
use crate::program::{Body, ConvolutionGradient, Program, ValueId};

/// See the module.
pub(super) fn run(program: &mut Program) {
    let (uses, producers) = (program.uses(), program.producers());
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        let Body::BatchNormGradient(attributes, activation) = program.steps[i].body else {
            continue;
        };
        let Some(&dx) = program.steps[i].outputs.first() else { continue };
        let filter = gradient_from(program, dx, By::Filter);
        let input = gradient_from(program, dx, By::Input);
        let Some((by_filter, geometry)) = filter else { continue };
        let of_one = input.is_none_or(|(_, of)| of == geometry);
        // Nobody else may want what is no longer written.
        if !of_one || uses[dx.0] != 1 + usize::from(input.is_some()) {
            continue;
        }
        let steps = &program.steps;
        let mut read = vec![steps[by_filter].inputs[0]];
        read.extend(input.map(|(by_input, _)| steps[by_input].inputs[0]));
        let early = |value: &ValueId| producers[program.root(*value).0].is_none_or(|at| at < i);
        if !read.iter().all(early) {
            continue;
        }
        let mut written = steps[i].outputs[1..].to_vec();
        let mut sources = steps[i].sources.clone();
        for gradient in [Some(by_filter), input.map(|(by_input, _)| by_input)].into_iter().flatten()
        {
            written.extend(&steps[gradient].outputs);
            sources.extend(steps[gradient].sources.iter().cloned());
            dead[gradient] = true;
        }
        let step = &mut program.steps[i];
        step.body = Body::LayerGradient(attributes, activation, geometry);
        step.inputs.extend(read);
        step.outputs = written;
        step.sources = sources;
    }
    sweep(program, &dead);
}

/// The step that computes a convolution's gradient from the slope `dy`.
fn gradient_from(
    program: &Program,
    dy: ValueId,
    wanted: By,
) -> Option<(usize, crate::ops::Geometry)> {
    program.steps.iter().enumerate().find_map(|(at, step)| match step.body {
        Body::ConvolutionGradient(ConvolutionGradient { geometry, by })
            if by == wanted && step.inputs.get(1) == Some(&dy) =>
        {
            Some((at, geometry))
        }
        _ => None,
    })
}
