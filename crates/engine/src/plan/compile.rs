//! Graph → plan: take what the outputs need, fold, lower, fuse, choose kernels, place memory.

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_formats::DType;

use super::memory::{self, Need};
use super::{Place, Plan, PlanOptions, PlannedStep, Port, StepInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::{self, Shape, elements};
use crate::fold::{self, Folded, Variables};
use crate::graph::{Graph, NodeId, TensorId, split_tensor_name};
use crate::lower::{self, Lowering};
use crate::ops::Effect;
use crate::passes;
use crate::program::{Body, Program, Step, Storage, Value, ValueId};
use crate::steps::{self, Kernel, MOST_OPERANDS, Site};

/// The number of images that stands for any number while compiling: a prime that no model has
/// as a dimension, so that what depends on it shows.
pub(crate) const PROBE: usize = 1009;

/// No plan has more steps than this: a guard against hostile graphs.
const MAX_STEPS: usize = 1 << 14;

/// The caller's tensors, resolved.
struct Fed {
    tensors: Vec<(TensorId, Shape)>,
    /// Those of floats that come as bytes, and what each byte is multiplied by.
    bytes: Vec<(TensorId, f32)>,
    any_batch: bool,
}

impl Plan {
    /// Compiles what computes `outputs` from `inputs`.
    ///
    /// `inputs` are tensor names (`node` or `node:port`) with concrete shapes; where dimension 0
    /// of a shape is unknown, the plan runs any number of images, and every output must have one
    /// row for each. `variables` gives the variables' values by name.
    ///
    /// # Errors
    /// `NotFound` for names that do not exist and needed inputs that are not given, `Input` for
    /// shapes that do not fit, `Unsupported` with node and op for what this engine does not do,
    /// also where images cannot be computed one by one although dimension 0 is unknown.
    ///
    /// ```
    /// use mobilenet_engine::{Attributes, Graph, Plan, PlanOptions, Pool, Session, Shape};
    /// use mobilenet_formats::{DType, Tensor};
    ///
    /// let mut graph = Graph::new();
    /// let shape = Shape::new(vec![None, Some(2)]);
    /// let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    /// let x = graph.add("x", "Placeholder", attributes, &[])?;
    /// graph.add("y", "Relu6", Attributes::new(), &[x.into()])?;
    ///
    /// let none = |name: &str| unreachable!("no variable {name}");
    /// let plan = Plan::compile(&graph, &none, &[("x", shape)], &["y"], &PlanOptions::default())?;
    /// let mut session = Session::new(plan.into(), Pool::single().into());
    /// let outputs = session.call(&[&Tensor::new([1, 2], vec![-1f32, 9.])?])?;
    /// assert_eq!(outputs[0].as_f32(), Some(&[0., 6.][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile(
        graph: &Graph,
        variables: &Variables<'_>,
        inputs: &[(&str, Shape)],
        outputs: &[&str],
        options: &PlanOptions,
    ) -> Result<Plan> {
        let Lowered { fed, mut folded, mut program, .. } =
            lower_for(graph, variables, inputs, outputs, options)?;
        if program.steps.len() > MAX_STEPS {
            let message = format!("{} steps, more than {MAX_STEPS}", program.steps.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        passes::run(&mut program);
        if fed.any_batch {
            if let Some(state) = folded.states.first() {
                return Err(Error::unsupported(format!(
                    "variable '{}' changes: give the number of images",
                    state.variable.name
                )));
            }
            check_separable(&mut program)?;
        }
        folded.forget_facts();
        let kernels = choose(&mut program, options)?;
        let fed_values = fed.tensors.iter().map(|(tensor, _)| *tensor).collect::<Vec<_>>();
        finish(graph, &folded, program, kernels, &fed_values, fed.any_batch, options)
    }
}

/// A graph after lowering, before any pass.
pub(crate) struct Lowered {
    fed: Fed,
    pub(crate) folded: Folded,
    pub(crate) program: Program,
    /// What holds each tensor of the graph.
    pub(crate) env: HashMap<TensorId, ValueId>,
}

/// What computes `outputs` from `inputs`, lowered for inference.
pub(crate) fn lowered(
    graph: &Graph,
    variables: &Variables<'_>,
    inputs: &[(&str, Shape)],
    outputs: &[&str],
) -> Result<Lowered> {
    lower_for(graph, variables, inputs, outputs, &PlanOptions::default())
}

fn lower_for(
    graph: &Graph,
    variables: &Variables<'_>,
    inputs: &[(&str, Shape)],
    outputs: &[&str],
    options: &PlanOptions,
) -> Result<Lowered> {
    let fed = feed(graph, inputs, &options.bytes)?;
    let wanted =
        outputs.iter().map(|name| graph.tensor(name)).collect::<Result<Vec<TensorId>>>()?;
    let order = needed(graph, &wanted, &fed, options)?;
    let folded = fold::fold(&fold::Request {
        graph,
        order: &order,
        fed: &fed.tensors,
        variables,
        keep: &options.variables,
    })?;
    let (program, env) = lower(graph, &folded, &order, &fed, &wanted)?;
    Ok(Lowered { fed, folded, program, env })
}

fn feed(graph: &Graph, inputs: &[(&str, Shape)], bytes: &[(String, f32)]) -> Result<Fed> {
    let mut fed = Fed { tensors: Vec::new(), bytes: Vec::new(), any_batch: false };
    for (name, shape) in inputs {
        let tensor = graph.tensor(name)?;
        if fed.tensors.iter().any(|(other, _)| *other == tensor) {
            return Err(Error::input(format!("input '{name}' is given twice")));
        }
        let shape = match shape.dims() {
            Some([None, rest @ ..]) => {
                fed.any_batch = true;
                let dims = std::iter::once(Some(PROBE)).chain(rest.iter().copied());
                Shape::new(dims.collect())
            }
            _ => shape.clone(),
        };
        if shape.concrete().is_none() {
            let message = format!("input '{name}': only dimension 0 of {shape} may be unknown");
            return Err(Error::input(message));
        }
        fed.tensors.push((tensor, shape));
    }
    for (name, factor) in bytes {
        let tensor = graph.tensor(name)?;
        let given = fed.tensors.iter().any(|(other, _)| *other == tensor);
        if !given || graph.fact(tensor).dtype != Some(DType::F32) {
            let name = crate::error::shorten(name);
            return Err(Error::input(format!("'{name}' is no input of float32 to give as bytes")));
        }
        let twice = fed.bytes.iter().any(|(other, _)| *other == tensor);
        if twice || !factor.is_finite() {
            let name = crate::error::shorten(name);
            let message = format!("'{name}' as bytes: one finite factor wanted, not {factor}");
            return Err(Error::input(message));
        }
        fed.bytes.push((tensor, *factor));
    }
    Ok(fed)
}

/// The nodes to run: what outputs and targets need; what changes variables comes last, so that
/// everything else sees the values from before.
fn needed(
    graph: &Graph,
    wanted: &[TensorId],
    fed: &Fed,
    options: &PlanOptions,
) -> Result<Vec<NodeId>> {
    let mut roots = wanted.to_vec();
    for name in &options.targets {
        let name = name.split_once(':').map_or(name.as_str(), |(node, _)| node);
        let node = graph.find(name).ok_or_else(|| {
            Error::not_found(format!("no operation '{}'", crate::error::shorten(name)))
        })?;
        roots.push(node.into());
    }
    let fed: Vec<TensorId> = fed.tensors.iter().map(|(tensor, _)| *tensor).collect();
    let order = graph.needed(&roots, &fed)?;
    let mut late = vec![false; graph.len()];
    for &id in &order {
        let node = graph.node(id);
        let before =
            node.inputs.iter().map(|tensor| tensor.node).chain(node.controls.iter().copied());
        late[id.0] = node.op.effect() == Effect::Write || before.into_iter().any(|id| late[id.0]);
    }
    let (first, last): (Vec<NodeId>, Vec<NodeId>) = order.iter().partition(|id| !late[id.0]);
    Ok(first.into_iter().chain(last).collect())
}

fn lower(
    graph: &Graph,
    folded: &Folded,
    order: &[NodeId],
    fed: &Fed,
    wanted: &[TensorId],
) -> Result<(Program, HashMap<TensorId, ValueId>)> {
    let mut program = Program::default();
    let mut env = HashMap::new();
    for (index, (tensor, _)) in fed.tensors.iter().enumerate() {
        let fact = folded.fact(*tensor)?;
        let shape = lower::concrete(fact)?;
        let value = Value {
            name: graph.tensor_name(*tensor),
            dtype: fact.dtype.ok_or_else(|| Error::dtype("the dtype of an input is not known"))?,
            per_image: fed.any_batch && shape.first() == Some(&PROBE),
            shape,
            storage: Storage::Input(index),
        };
        let bytes = fed.bytes.iter().find(|(other, _)| other == tensor);
        let id = match bytes {
            Some(&(_, factor)) => widened(&mut program, value, factor),
            None => program.add(value),
        };
        env.insert(*tensor, id);
    }
    for &id in order {
        let node = graph.node(id);
        if folded.is_constant(id) || env.contains_key(&TensorId::from(id)) {
            continue;
        }
        let op = Arc::clone(&node.op);
        let mut lowering =
            Lowering { graph, folded, program: &mut program, env: &mut env, node: id };
        op.lower(&mut lowering).map_err(|error| {
            let inputs = node.inputs.iter().filter_map(|&tensor| folded.fact(tensor).ok().cloned());
            error.at(&node.name, &node.op_name, facts::list(&inputs.collect::<Vec<_>>()))
        })?;
    }
    for &tensor in wanted {
        let output = output(graph, folded, &mut program, &env, tensor)?;
        program.outputs.push(output);
    }
    Ok((program, env))
}

/// The floats of an input that comes as bytes.
fn widened(program: &mut Program, input: Value, factor: f32) -> ValueId {
    let name = input.name.clone();
    let floats = Value { storage: Storage::Arena, per_image: false, ..input.clone() };
    let bytes = program.add(Value { dtype: DType::U8, ..input });
    let floats = program.add(floats);
    program.steps.push(Step {
        body: Body::Widen(factor),
        inputs: vec![bytes],
        outputs: vec![floats],
        sources: vec![split_tensor_name(&name).0.to_owned()],
    });
    floats
}

/// The value of a wanted tensor, in the arena.
fn output(
    graph: &Graph,
    folded: &Folded,
    program: &mut Program,
    env: &HashMap<TensorId, ValueId>,
    tensor: TensorId,
) -> Result<ValueId> {
    let name = graph.tensor_name(tensor);
    let value = match (&folded.fact(tensor)?.value, env.get(&tensor)) {
        (_, Some(&value)) => value,
        (Some(constant), None) => {
            program.bakes_batch |= folded.is_from_shape(tensor);
            lower::constant_value(graph, folded, program, tensor, Arc::clone(constant))?
        }
        (None, None) => {
            return Err(Error::unsupported(format!("'{name}' is no tensor that can be given out")));
        }
    };
    if matches!(folded.fact(tensor)?.dtype, Some(DType::QI8 | DType::QI32)) {
        let message = format!("'{name}' is quantised: ask for the tensor that dequantises it");
        return Err(Error::unsupported(message));
    }
    if matches!(program.value(program.root(value)).storage, Storage::Arena) {
        return Ok(value);
    }
    let copied =
        Value { name: name.clone(), storage: Storage::Arena, ..program.value(value).clone() };
    let copy = program.add(copied);
    program.steps.push(Step {
        body: Body::Other(Arc::new(steps::Copy)),
        inputs: vec![value],
        outputs: vec![copy],
        sources: vec![name],
    });
    Ok(copy)
}

/// Packs the weights, step by step: what a step held is freed before the next is packed.
fn choose(program: &mut Program, options: &PlanOptions) -> Result<Vec<Arc<dyn Kernel>>> {
    let Program { steps, values, .. } = program;
    let kernels = steps.iter_mut().map(|step| {
        let mut body = std::mem::take(&mut step.body);
        let shapes = |ids: &[ValueId]| ids.iter().map(|&id| run_shape(&values[id.0])).collect();
        let site = Site {
            isa: options.isa,
            precision: options.precision,
            threads: options.threads.max(1),
            tuning: options.tuning.clone(),
            inputs: shapes(&step.inputs),
        };
        choose_one(&mut body, &site).map_err(|error| {
            let node = step.sources.first().map_or("", String::as_str);
            error.at(node, "lowered", Shape::known(site.input(0)))
        })
    });
    kernels.collect()
}

fn choose_one(body: &mut Body, site: &Site) -> Result<Arc<dyn Kernel>> {
    match body {
        Body::Convolution(convolution) => steps::convolution(convolution, site),
        Body::Separable(pair) => steps::separable(pair, site),
        Body::Pooled(product) => steps::pooled(product, site),
        Body::Affine(affine, activation) => steps::affine(affine, *activation, site),
        &mut Body::Widen(factor) => Ok(steps::widen(factor, site)),
        Body::Pad(pads) => steps::Pad::prepare(*pads, site),
        &mut Body::BatchNorm(attributes, activation) => {
            Ok(steps::batch_norm(attributes, activation, site))
        }
        &mut Body::BatchNormGradient(attributes, activation) => {
            Ok(steps::batch_norm_gradient(attributes, activation, site))
        }
        &mut Body::Gate(activation) => Ok(steps::gradients::gate(activation, site)),
        &mut Body::ConvolutionGradient(gradient) => steps::gradients::convolution(gradient, site),
        &mut Body::BatchStatistics(attributes) => Ok(steps::batch_statistics(attributes, site)),
        &mut Body::ConvolutionAtRun(convolution) => {
            Ok(steps::gradients::convolution_at_run(convolution, site))
        }
        &mut Body::Layer(layer) => steps::layer(layer, site),
        &mut Body::LayerGradient(gradient) => steps::layer_gradient(gradient, site),
        Body::Other(recipe) => recipe.prepare(site),
    }
}

/// Marks what is per image; fails where images cannot be computed one by one.
fn check_separable(program: &mut Program) -> Result<()> {
    let whole = |name: &str| {
        let message =
            format!("images cannot be computed one by one at '{name}': give the number of images");
        Error::unsupported(message)
    };
    if program.bakes_batch {
        return Err(whole("a constant made from a shape"));
    }
    mark_aliases(program);
    for i in 0..program.steps.len() {
        let step = program.steps[i].clone();
        let inputs: Vec<&Value> = step.inputs.iter().map(|&id| program.value(id)).collect();
        let any = inputs.iter().any(|value| value.per_image);
        let rows = step.outputs.iter().all(|&id| program.value(id).shape.first() == Some(&PROBE));
        if !any || !rows || !step.body.separable(&inputs) {
            return Err(whole(step.sources.first().map_or("", String::as_str)));
        }
        for output in step.outputs {
            program.values[output.0].per_image = true;
            mark_aliases(program);
        }
    }
    for &output in &program.outputs {
        if !program.value(output).per_image {
            return Err(whole(&program.value(output).name));
        }
    }
    Ok(())
}

/// An alias of something per image is per image if its rows are the images.
fn mark_aliases(program: &mut Program) {
    for i in 0..program.values.len() {
        if let Storage::Alias(of) = program.values[i].storage {
            let rows = program.values[i].shape.first() == Some(&PROBE);
            program.values[i].per_image = program.values[of.0].per_image && rows;
        }
    }
}

fn finish(
    graph: &Graph,
    folded: &Folded,
    program: Program,
    kernels: Vec<Arc<dyn Kernel>>,
    fed: &[TensorId],
    any_batch: bool,
    options: &PlanOptions,
) -> Result<Plan> {
    let bytes = program.values.iter().map(bytes_of).collect::<Result<Vec<usize>>>()?;
    let scratch: Vec<usize> = kernels.iter().map(|kernel| kernel.scratch_bytes()).collect();
    let layout = lay_out(&program, &bytes, &scratch, options.max_arena_bytes)?;
    let place = |id: ValueId| layout.place(&program, &bytes, id);
    let mut steps = Vec::new();
    for (i, (step, kernel)) in program.steps.iter().zip(kernels).enumerate() {
        if step.inputs.len() > MOST_OPERANDS || step.outputs.len() > MOST_OPERANDS {
            return Err(Error::unsupported(format!("more than {MOST_OPERANDS} operands")));
        }
        steps.push(PlannedStep {
            info: describe(&program, step, &*kernel, scratch[i]),
            inputs: step.inputs.iter().map(|&id| place(id)).collect(),
            outputs: step.outputs.iter().map(|&id| place(id)).collect(),
            scratch: layout.scratch[i]..layout.scratch[i] + scratch[i],
            kernel,
        });
    }
    let port =
        |name: String, value: &Value| Port { name, dtype: value.dtype, shape: public_shape(value) };
    let inputs = fed.iter().enumerate().filter_map(|(i, &tensor)| {
        let own = |value: &&Value| matches!(value.storage, Storage::Input(index) if index == i);
        Some(port(graph.tensor_name(tensor), program.values.iter().find(own)?))
    });
    Ok(Plan {
        inputs: inputs.collect(),
        outputs: program
            .outputs
            .iter()
            .map(|&id| port(program.value(id).name.clone(), program.value(id)))
            .collect(),
        output_places: program.outputs.iter().map(|&id| place(id)).collect(),
        steps,
        states: folded.states.clone(),
        arena_bytes: layout.total,
        any_batch,
        isa: options.isa,
    })
}

/// Bytes of a value, or of one image of it.
fn bytes_of(value: &Value) -> Result<usize> {
    let dims = if value.per_image { &value.shape[1..] } else { &value.shape };
    let size = value.dtype.size().ok_or_else(|| {
        Error::unsupported(format!("'{}' of dtype {} at run time", value.name, value.dtype))
    })?;
    let bytes = elements(dims)?.checked_mul(size);
    bytes.ok_or_else(|| Error::shape(format!("'{}' is too large", value.name)))
}

fn public_shape(value: &Value) -> Shape {
    let known = |&dim: &usize| Some(dim);
    let mut dims: Vec<Option<usize>> = value.shape.iter().map(known).collect();
    if let (true, Some(first)) = (value.per_image, dims.first_mut()) {
        *first = None;
    }
    Shape::new(dims)
}

/// The shape in one run: one image where the plan runs any number.
fn run_shape(value: &Value) -> Vec<usize> {
    let mut shape = value.shape.clone();
    if let (true, Some(first)) = (value.per_image, shape.first_mut()) {
        *first = 1;
    }
    shape
}

fn describe(program: &Program, step: &Step, kernel: &dyn Kernel, scratch: usize) -> StepInfo {
    let shapes = |ids: &[ValueId]| ids.iter().map(|&id| run_shape(program.value(id))).collect();
    StepInfo {
        kernel: kernel.name(),
        nodes: step.sources.clone(),
        inputs: shapes(&step.inputs),
        outputs: shapes(&step.outputs),
        multiply_adds: kernel.multiply_adds(),
        scratch_bytes: scratch,
        on_bytes: kernel.on_bytes(),
        tunable: kernel.tunable(),
    }
}

/// Where everything is in the arena.
struct Layout {
    /// For each value whose storage is the arena.
    offsets: HashMap<ValueId, usize>,
    scratch: Vec<usize>,
    total: usize,
}

impl Layout {
    fn place(&self, program: &Program, bytes: &[usize], id: ValueId) -> Place {
        let root = program.root(id);
        let bytes = bytes[root.0];
        match &program.value(root).storage {
            Storage::Input(index) => Place::Input { index: *index, bytes },
            Storage::Constant(tensor) => Place::Constant(Arc::clone(tensor)),
            Storage::State(index) => Place::State(*index),
            Storage::Arena | Storage::Alias(_) => {
                Place::Arena { offset: self.offsets.get(&root).copied().unwrap_or(0), bytes }
            }
        }
    }
}

fn lay_out(program: &Program, bytes: &[usize], scratch: &[usize], most: usize) -> Result<Layout> {
    let mut needs: Vec<Need> = Vec::new();
    let mut owners: HashMap<ValueId, usize> = HashMap::new();
    let mut touch = |id: ValueId, step: usize, needs: &mut Vec<Need>| {
        let root = program.root(id);
        if matches!(program.value(root).storage, Storage::Arena) {
            let index = *owners.entry(root).or_insert_with(|| {
                needs.push(Need { bytes: bytes[root.0], first: step, last: step });
                needs.len() - 1
            });
            needs[index].last = step;
        }
    };
    for (i, step) in program.steps.iter().enumerate() {
        for &id in step.inputs.iter().chain(&step.outputs) {
            touch(id, i, &mut needs);
        }
    }
    for &id in &program.outputs {
        touch(id, program.steps.len(), &mut needs);
    }
    let values = needs.len();
    needs.extend(scratch.iter().enumerate().map(|(i, &bytes)| Need { bytes, first: i, last: i }));
    let (offsets, total) =
        memory::place(&needs).filter(|(_, total)| *total <= most).ok_or_else(|| {
            Error::new(ErrorKind::Limit, format!("the arena would exceed {most} bytes"))
        })?;
    let scratch = offsets[values..].to_vec();
    let offsets = owners.into_iter().map(|(id, index)| (id, offsets[index])).collect();
    Ok(Layout { offsets, scratch, total })
}
