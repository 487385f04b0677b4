//! A depthwise convolution and the pointwise one that follows become one step, which keeps the
//! rows between them in cache.

use super::sweep;
use crate::ops::Kind;
use crate::program::{Body, Convolution, Program};

/// See the module.
pub(super) fn run(program: &mut Program) {
    let uses = program.uses();
    let producers = program.producers();
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        let Some(&input) = program.steps[i].inputs.first() else { continue };
        let Some(producer) = producers[input.0].filter(|_| uses[input.0] == 1) else { continue };
        let (before, after) = program.steps.split_at_mut(i);
        let (Body::Convolution(depthwise), Body::Convolution(pointwise)) =
            (&before[producer].body, &after[0].body)
        else {
            continue;
        };
        if !is_depthwise(depthwise) || !is_pointwise(pointwise) {
            continue;
        }
        after[0].body = Body::Separable(Box::new([(**depthwise).clone(), (**pointwise).clone()]));
        after[0].inputs.clone_from(&before[producer].inputs);
        after[0].sources.splice(0..0, before[producer].sources.iter().cloned());
        dead[producer] = true;
    }
    sweep(program, &dead);
}

fn is_depthwise(convolution: &Convolution) -> bool {
    let geometry = &convolution.geometry;
    geometry.kind == Kind::Depthwise
        && geometry.output[2] == geometry.input[2]
        && geometry.dilations == [1, 1]
        && geometry.strides[0] == geometry.strides[1]
        && convolution.pre.is_none()
}

/// One pixel in, one pixel out.
pub(crate) fn is_pointwise(convolution: &Convolution) -> bool {
    let geometry = &convolution.geometry;
    geometry.kind == Kind::Full
        && geometry.kernel == [1, 1]
        && geometry.strides == [1, 1]
        && geometry.pads == [[0, 0]; 2]
        && convolution.pre.is_none()
}
