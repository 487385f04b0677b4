//! Layers in training: steps between which large tensors flow become one, which keeps those in
//! cache.
//!
//! A batch norm is applied where its output is read, by the convolution behind it and by that
//! one's gradient; its statistics are taken where its input is written. The gradient of batch norm
//! and both gradients of the convolution before it are one step.

use mobilenet_kernels::Activation;

use super::sweep;
use crate::ops::{By, Geometry, Kind};
use crate::program::{
    Before, Body, ConvolutionAtRun, ConvolutionGradient, Layer, LayerGradient, Program, ValueId,
};

/// Gradients of a layer in one.
pub(super) fn backward(program: &mut Program) {
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
        let last = input.map_or(by_filter, |(by_input, _)| by_input.max(by_filter));
        let early = |value: &ValueId| {
            producers[program.root(*value).0].is_none_or(|at| at < i)
                && !program.changes(*value, i, last)
        };
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
        step.body = Body::LayerGradient(LayerGradient {
            norm: attributes,
            activation,
            geometry,
            wants_input: input.is_some(),
            before: None,
            known: false,
            sums_before: false,
        });
        step.inputs.extend(read);
        step.outputs = written;
        step.sources = sources;
    }
    sweep(program, &dead);
}

/// Batch norms applied where they are read.
pub(super) fn norms(program: &mut Program) {
    let uses = program.uses();
    for i in 0..program.steps.len() {
        let Body::BatchNorm(attributes, activation) = program.steps[i].body else { continue };
        let (Some(&y), 5, true) =
            (program.steps[i].outputs.first(), program.steps[i].outputs.len(), attributes.training)
        else {
            continue;
        };
        let readers: Vec<usize> = (i + 1..program.steps.len())
            .filter(|&at| applies(&program.steps[at].body, &program.steps[at].inputs, y))
            .collect();
        let Some(&last) = readers.last().filter(|_| readers.len() == uses[y.0]) else { continue };
        if program.steps[i].inputs.iter().any(|&input| program.changes(input, i, last)) {
            continue;
        }
        let norm = &mut program.steps[i];
        norm.body = Body::BatchStatistics(attributes);
        norm.outputs.remove(0);
        let x = norm.inputs[0];
        let operands = [norm.outputs[2], norm.outputs[3], norm.inputs[1], norm.inputs[2]];
        norm.inputs.truncate(1);
        let before = Some(Before { epsilon: attributes.epsilon, activation });
        for reader in readers {
            let step = &mut program.steps[reader];
            match &mut step.body {
                Body::LayerGradient(gradient) => gradient.before = before,
                body => {
                    let Body::ConvolutionAtRun(ConvolutionAtRun { geometry, .. }) = *body else {
                        continue;
                    };
                    *body = Body::Layer(Layer { geometry, before, statistics: false });
                }
            }
            step.inputs.iter_mut().filter(|input| **input == y).for_each(|input| *input = x);
            step.inputs.extend(operands);
        }
    }
}

/// Whether a step reads `y` once, as the input of a convolution that can apply what made it.
fn applies(body: &Body, inputs: &[ValueId], y: ValueId) -> bool {
    let at = match body {
        Body::ConvolutionAtRun(convolution) if is_layer(convolution) => 0,
        // What batch norm's gradient reads comes first.
        Body::LayerGradient(gradient) if gradient.before.is_none() => {
            inputs.len().saturating_sub(1 + usize::from(gradient.wants_input))
        }
        _ => return false,
    };
    inputs.get(at) == Some(&y) && inputs.iter().filter(|&&input| input == y).count() == 1
}

/// Whether the kernels have it as a layer.
fn is_layer(convolution: &ConvolutionAtRun) -> bool {
    let geometry = &convolution.geometry;
    let pointwise =
        geometry.kernel == [1, 1] && geometry.strides == [1, 1] && geometry.pads == [[0, 0]; 2];
    !convolution.transposed && (geometry.kind == Kind::Depthwise || pointwise)
}

/// Slopes of scale and shift summed where what comes back to them is written.
pub(super) fn slopes(program: &mut Program) {
    let (uses, producers) = (program.uses(), program.producers());
    for i in 0..program.steps.len() {
        let Body::LayerGradient(gradient) = program.steps[i].body else { continue };
        let Some(&dy) = program.steps[i].inputs.first().filter(|dy| uses[dy.0] == 1) else {
            continue;
        };
        let Some(behind) = producers[dy.0].filter(|&behind| hands_to(program, behind, i)) else {
            continue;
        };
        let norm: Vec<ValueId> = program.steps[i].outputs.drain(..2).collect();
        program.steps[i].inputs.extend(&norm);
        program.steps[i].body = Body::LayerGradient(LayerGradient { known: true, ..gradient });
        let behind = &mut program.steps[behind];
        behind.outputs.extend(norm);
        if let Body::LayerGradient(gradient) = &mut behind.body {
            gradient.sums_before = true;
        }
    }
}

/// Whether step `behind` applies the very batch norm whose gradient step `i` is, and hands it all
/// that comes back.
fn hands_to(program: &Program, behind: usize, i: usize) -> bool {
    let (from, to) = (&program.steps[behind], &program.steps[i]);
    let (Body::LayerGradient(gradient), Body::LayerGradient(own)) = (&from.body, &to.body) else {
        return false;
    };
    let Some(before) = gradient.before.filter(|_| gradient.wants_input) else { return false };
    // Input, filter, mean, variance, scale and shift, behind which are slopes that are known.
    let end = from.inputs.len() - if gradient.known { 2 } else { 0 };
    let theirs = &from.inputs[end - 6..end];
    let gated = own.activation != Activation::None;
    // Slope, input, scale, mean, variance and, behind a gate, shift.
    let pairs = [(1, 0), (2, 4), (3, 2), (4, 3), (5, 5)];
    let own_operands = if gated { &pairs[..] } else { &pairs[..4] };
    from.outputs.get(if gradient.known { 1 } else { 3 }) == to.inputs.first()
        && before.activation == own.activation
        && before.epsilon.to_bits() == own.norm.epsilon.to_bits()
        && own.norm.training
        && own_operands
            .iter()
            .all(|&(mine, other)| super::gates::is_one(program, to.inputs[mine], theirs[other]))
}

/// Statistics taken where their input is written.
pub(super) fn statistics(program: &mut Program) {
    let producers = program.producers();
    let mut dead = vec![false; program.steps.len()];
    for i in 0..program.steps.len() {
        let Body::BatchStatistics(_) = program.steps[i].body else { continue };
        let Some(producer) = producers[program.steps[i].inputs[0].0] else { continue };
        let (before, after) = program.steps.split_at_mut(i);
        let (layer, statistics) = (&mut before[producer], &after[0]);
        layer.body = match layer.body {
            Body::Layer(layer) if !layer.statistics => {
                Body::Layer(Layer { statistics: true, ..layer })
            }
            Body::ConvolutionAtRun(convolution) if is_layer(&convolution) => {
                let geometry = convolution.geometry;
                Body::Layer(Layer { geometry, before: None, statistics: true })
            }
            _ => continue,
        };
        layer.outputs.extend(&statistics.outputs);
        layer.sources.extend(statistics.sources.iter().cloned());
        dead[i] = true;
    }
    sweep(program, &dead);
}

/// The step that computes a convolution's gradient from the slope `dy`.
fn gradient_from(program: &Program, dy: ValueId, wanted: By) -> Option<(usize, Geometry)> {
    program.steps.iter().enumerate().find_map(|(at, step)| match step.body {
        Body::ConvolutionGradient(ConvolutionGradient { geometry, by })
            if by == wanted && step.inputs.get(1) == Some(&dy) =>
        {
            Some((at, geometry))
        }
        _ => None,
    })
}
