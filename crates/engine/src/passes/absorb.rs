//! Affines (batch norm, bias, scalar arithmetic) and activations move into the convolution
//! before them, or, as an exact treatment of its input, into the one after. What makes floats of
//! bytes takes in the factor behind it and moves into the convolution after, too.

use mobilenet_kernels::Activation;

use super::separable::is_pointwise;
use super::sweep;
use crate::ops::Kind;
use crate::program::{Affine, Body, Convolution, Program, Step};

/// See the module.
pub(super) fn run(program: &mut Program) {
    let uses = program.uses();
    let mut producers = program.producers();
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        // Behind what a step took in may be more that it can take in.
        while let Some(&input) = program.steps[i].inputs.first()
            && let Some(producer) = producers[input.0].filter(|_| uses[input.0] == 1)
        {
            let (before, after) = program.steps.split_at_mut(i);
            let (before, after) = (&mut before[producer], &mut after[0]);
            if dead[producer] || before.outputs.len() != 1 {
                break;
            }
            let merged = match (&mut before.body, &mut after.body) {
                (before, Body::Affine(affine, activation)) => append(before, affine, *activation),
                (Body::Affine(affine, Activation::None), Body::Convolution(after)) => {
                    prepend(affine, after)
                }
                (Body::Widen(factor), Body::Convolution(after)) => of_bytes(*factor, after),
                _ => None,
            };
            let Some(body) = merged else { break };
            *after = merge(before, after, body);
            dead[producer] = true;
            for output in &after.outputs {
                producers[output.0] = Some(i);
            }
        }
    }
    sweep(program, &dead);
}

/// One step for two: it stands where `after` stood and reads what `before` read.
fn merge(before: &Step, after: &Step, body: Body) -> Step {
    Step {
        body,
        inputs: before.inputs.clone(),
        outputs: after.outputs.clone(),
        sources: before.sources.iter().chain(&after.sources).cloned().collect(),
    }
}

/// `before`, then an affine and an activation; nothing fits behind another activation.
fn append(before: &Body, affine: &Affine, activation: Activation) -> Option<Body> {
    match before {
        Body::Convolution(convolution) if convolution.activation == Activation::None => {
            let post = convolution.post.then(affine);
            let convolution = Convolution { post, activation, ..(**convolution).clone() };
            Some(Body::Convolution(Box::new(convolution)))
        }
        Body::Affine(first, Activation::None) => Some(Body::Affine(first.then(affine), activation)),
        // Bytes are floats without rounding, so the product is rounded once, as it was.
        Body::Widen(1.0) if activation == Activation::None && affine.offset == [0.0] => {
            match affine.scale[..] {
                [scale] => Some(Body::Widen(scale as f32)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// An affine, then a convolution. Padding stays zero behind the affine, so it is kept apart from
/// the weights; without padding it still is, for one road.
fn prepend(affine: &Affine, convolution: &Convolution) -> Option<Body> {
    let uniform = affine.scale.len() == 1 && affine.offset.len() == 1;
    if convolution.pre.is_some() || convolution.geometry.kind != Kind::Full || !uniform {
        return None;
    }
    let convolution = Convolution { pre: Some(affine.clone()), ..convolution.clone() };
    Some(Body::Convolution(Box::new(convolution)))
}

/// Floats made of bytes, then a convolution, which makes them itself, a few rows at a time.
/// Products of pixels alone have kernels that read floats and nothing else.
fn of_bytes(factor: f32, convolution: &Convolution) -> Option<Body> {
    let full = convolution.geometry.kind == Kind::Full && !is_pointwise(convolution);
    if convolution.bytes.is_some() || !full {
        return None;
    }
    let convolution = Convolution { bytes: Some(factor), ..convolution.clone() };
    Some(Body::Convolution(Box::new(convolution)))
}
