//! Batch norm that is not folded takes the activation behind it along, and its gradient the gate
//! of that activation: each reads and writes the activations once less.

use std::sync::Arc;

use mobilenet_kernels::Activation;

use super::sweep;
use crate::program::{Affine, Body, Program, Step, Storage, ValueId};

/// An activation moves into the batch norm before it.
pub(super) fn forward(program: &mut Program) {
    let (uses, producers) = (program.uses(), program.producers());
    let mut dead = vec![false; program.steps.len()];
    for (i, dead) in dead.iter_mut().enumerate() {
        let Body::Affine(affine, activation) = &program.steps[i].body else { continue };
        let (activation, input) = (*activation, program.steps[i].inputs.first());
        if activation == Activation::None || *affine != Affine::identity() {
            continue;
        }
        let Some(&input) = input.filter(|input| uses[input.0] == 1) else { continue };
        let Some(producer) = producers[input.0] else { continue };
        let (before, after) = program.steps.split_at_mut(i);
        let (before, after) = (&mut before[producer], &after[0]);
        if before.outputs.first() != Some(&input) {
            continue;
        }
        let Body::BatchNorm(_, before_activation @ Activation::None) = &mut before.body else {
            continue;
        };
        *before_activation = activation;
        before.outputs[0] = after.outputs[0];
        before.sources.extend(after.sources.iter().cloned());
        *dead = true;
    }
    sweep(program, &dead);
}

/// The gate of an activation moves into the gradient of the batch norm that took the activation.
pub(super) fn backward(program: &mut Program) {
    let (uses, producers) = (program.uses(), program.producers());
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        let step = &program.steps[i];
        let gate = step.inputs.first().filter(|dy| uses[dy.0] == 1).and_then(|dy| producers[dy.0]);
        let Some(gate) = gate else { continue };
        let Body::Gate(activation) = program.steps[gate].body else { continue };
        let Some(beta) = shift(program, &producers, i, &program.steps[gate]) else { continue };
        let (dy, sources) = (program.steps[gate].inputs[0], program.steps[gate].sources.clone());
        let step = &mut program.steps[i];
        if let Body::BatchNormGradient(_, before) = &mut step.body {
            *before = activation;
        }
        step.inputs[0] = dy;
        step.inputs.push(beta);
        step.sources.splice(0..0, sources);
        dead[gate] = true;
    }
    sweep(program, &dead);
}

/// The shift of the batch norm that `gate` and step `i` are the gradients of, if they are of one.
fn shift(program: &Program, producers: &[Option<usize>], i: usize, gate: &Step) -> Option<ValueId> {
    let step = &program.steps[i];
    let Body::BatchNormGradient(attributes, Activation::None) = step.body else { return None };
    let Body::Gate(activation) = gate.body else { return None };
    let features = program.root(*gate.inputs.get(1)?);
    let at = producers[features.0]?;
    let forward = &program.steps[at];
    let same = |a: Option<&ValueId>, b: Option<&ValueId>| match (a, b) {
        (Some(&a), Some(&b)) => is_one(program, a, b),
        _ => false,
    };
    let statistics = if attributes.training { &forward.outputs } else { &forward.inputs };
    let of_one = matches!(forward.body, Body::BatchNorm(of, by) if of == attributes && by == activation)
        && forward.outputs.first() == Some(&features)
        && same(step.inputs.get(1), forward.inputs.first())
        && same(step.inputs.get(2), forward.inputs.get(1))
        && same(step.inputs.get(3), statistics.get(3))
        && same(step.inputs.get(4), statistics.get(4));
    let beta = *forward.inputs.get(2)?;
    (of_one && !program.changes(beta, at, i)).then_some(beta)
}

/// Whether two values are the same; a constant is a value of its own wherever it is used.
pub(super) fn is_one(program: &Program, a: ValueId, b: ValueId) -> bool {
    let (a, b) = (program.root(a), program.root(b));
    match (&program.value(a).storage, &program.value(b).storage) {
        (Storage::Constant(a), Storage::Constant(b)) => Arc::ptr_eq(a, b),
        _ => a == b,
    }
}
