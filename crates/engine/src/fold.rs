//! Concrete facts for the part of a graph that a plan needs, and everything in it that is
//! constant computed at once.
//!
//! Floating-point constants are folded in double precision: batch norm written as
//! `Rsqrt`, `Mul` and `Sub` loses nothing before its one rounding in the weights.

use std::collections::HashSet;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use crate::error::{Error, Result, shorten};
use crate::facts::{self, Fact, Shape, Variable, elements};
use crate::graph::{Graph, NodeId, TensorId, infer};
use crate::ops::Effect;
use crate::reference;

/// Larger constants are not folded: they would bloat the plan.
const MAX_FOLDED: usize = 1 << 24;

/// Gives the value of a variable by its name.
pub type Variables<'a> = dyn Fn(&str) -> Result<Arc<Tensor>> + 'a;

/// A variable that a session keeps.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) variable: Arc<Variable>,
    pub(crate) initial: Arc<Tensor>,
}

/// Facts of the needed nodes, and which variables are state.
pub(crate) struct Folded {
    facts: Vec<Vec<Fact>>,
    /// Constants that depend on the shape of something that is not constant.
    from_shape: HashSet<TensorId>,
    pub(crate) states: Vec<State>,
}

/// What to fold.
pub(crate) struct Request<'a> {
    pub(crate) graph: &'a Graph,
    /// The needed nodes, inputs first.
    pub(crate) order: &'a [NodeId],
    /// The tensors the caller gives, with their shapes.
    pub(crate) fed: &'a [(TensorId, Shape)],
    pub(crate) variables: &'a Variables<'a>,
    /// Names of variables to keep as state even if nothing here changes them.
    pub(crate) keep: &'a [String],
}

impl Folded {
    pub(crate) fn fact(&self, tensor: TensorId) -> Result<&Fact> {
        let fact = self.facts.get(tensor.node.0).and_then(|facts| facts.get(tensor.port));
        fact.ok_or_else(|| Error::invalid("an input was not computed"))
    }

    /// Whether all outputs of a node are known (and it need not run).
    pub(crate) fn is_constant(&self, node: NodeId) -> bool {
        let facts = self.facts.get(node.0).map(Vec::as_slice).unwrap_or_default();
        !facts.is_empty() && facts.iter().all(|fact| fact.value.is_some())
    }

    pub(crate) fn is_from_shape(&self, tensor: TensorId) -> bool {
        self.from_shape.contains(&tensor)
    }

    /// Frees what is known of tensors, their values above all.
    pub(crate) fn forget_facts(&mut self) {
        self.facts = Vec::new();
    }

    /// The state behind a handle or reference.
    pub(crate) fn state_of(&self, handle: TensorId) -> Result<usize> {
        let variable = &self.fact(handle)?.variable;
        let name = variable.as_ref().map(|variable| variable.name.as_str());
        let found = self.states.iter().position(|state| Some(state.variable.name.as_str()) == name);
        found.ok_or_else(|| Error::unsupported("what holds this variable is not known"))
    }
}

/// Computes facts in order, folding what is constant.
pub(crate) fn fold(request: &Request<'_>) -> Result<Folded> {
    let graph = request.graph;
    let mut folded = Folded {
        facts: vec![Vec::new(); graph.len()],
        from_shape: HashSet::new(),
        states: states(request)?,
    };
    for (tensor, shape) in request.fed {
        // Placeholders behind fed tensors are not needed: their facts come from the import.
        folded.facts[tensor.node.0] = graph.node(tensor.node).outputs.clone();
        folded.feed(graph, *tensor, shape)?;
    }
    for &id in request.order {
        let node = graph.node(id);
        let facts = folded.node_facts(request, id).map_err(|error| {
            let inputs = node.inputs.iter().map(|&tensor| folded.fact(tensor).cloned());
            let inputs: Vec<Fact> = inputs.collect::<Result<_>>().unwrap_or_default();
            error.at(&node.name, &node.op_name, facts::list(&inputs))
        })?;
        folded.facts[id.0] = facts;
        for (tensor, shape) in request.fed.iter().filter(|(tensor, _)| tensor.node == id) {
            folded.feed(graph, *tensor, shape)?;
        }
    }
    Ok(folded)
}

impl Folded {
    fn feed(&mut self, graph: &Graph, tensor: TensorId, shape: &Shape) -> Result<()> {
        let declared = graph.fact(tensor);
        let merged = declared.shape.merge(shape).ok_or_else(|| {
            let (name, declared) = (graph.tensor_name(tensor), &declared.shape);
            Error::input(format!("input '{name}' has shape {declared}, {shape} was given"))
        })?;
        if let Some(fact) = self.facts[tensor.node.0].get_mut(tensor.port) {
            *fact = Fact { shape: merged, value: None, ..declared.clone() };
        }
        Ok(())
    }

    fn node_facts(&mut self, request: &Request<'_>, id: NodeId) -> Result<Vec<Fact>> {
        let node = request.graph.node(id);
        let inputs = node.inputs.iter().map(|&tensor| self.fact(tensor).cloned());
        let inputs: Vec<Fact> = inputs.collect::<Result<_>>()?;
        let mut outputs = infer(node, &inputs)?;
        // A default that nothing is fed for may say more of its shape than the placeholder.
        if let (true, Some(input), Some(output)) =
            (node.op.passes_input(), inputs.first(), outputs.first_mut())
            && let Some(shape) = output.shape.merge(&input.shape)
        {
            output.shape = shape;
        }
        let shape_only = outputs.iter().any(|fact| fact.value.is_some())
            && inputs.iter().any(|fact| fact.value.is_none());
        let tainted = node.inputs.iter().any(|tensor| self.from_shape.contains(tensor));
        match node.op.effect() {
            Effect::Pure => fold_pure(&*node.op, &inputs, &mut outputs)?,
            Effect::Read => self.read(request, &inputs[0], &mut outputs)?,
            Effect::Variable => {
                let own = outputs[0].clone();
                if own.dtype != Some(DType::Resource) {
                    self.read(request, &own, &mut outputs)?;
                }
            }
            Effect::Feed | Effect::Write | Effect::Random => {}
        }
        if shape_only || tainted {
            let ports = 0..outputs.len();
            self.from_shape.extend(ports.map(|port| TensorId { node: id, port }));
        }
        Ok(outputs)
    }

    /// A variable that is not state is a constant.
    fn read(&self, request: &Request<'_>, handle: &Fact, outputs: &mut [Fact]) -> Result<()> {
        let variable =
            handle.variable.as_ref().ok_or_else(|| Error::unsupported("an unknown variable"))?;
        if !self.states.iter().any(|state| state.variable.name == variable.name) {
            outputs[0].value = Some(value_of(request.variables, variable)?);
            outputs[0].shape = Shape::known(outputs[0].value.as_ref().map_or(&[], |v| v.shape()));
        }
        Ok(())
    }
}

fn value_of(variables: &Variables<'_>, variable: &Variable) -> Result<Arc<Tensor>> {
    let value = variables(&variable.name)?;
    let shape = Shape::known(value.shape());
    if value.dtype() != variable.dtype || !variable.shape.is_compatible(&shape) {
        let (name, dtype, own) = (shorten(&variable.name), variable.dtype, &variable.shape);
        let message = format!(
            "variable '{name}' is {dtype}{own} in the graph, its value {}{shape}",
            value.dtype()
        );
        return Err(Error::shape(message));
    }
    Ok(value)
}

/// Variables that a needed node changes, and those to keep.
fn states(request: &Request<'_>) -> Result<Vec<State>> {
    let mut states: Vec<State> = Vec::new();
    for &id in request.order {
        let node = request.graph.node(id);
        let variable = match node.op.effect() {
            Effect::Write => node.inputs.first().map(|&handle| request.graph.fact(handle)),
            Effect::Variable => node.outputs.first(),
            _ => None,
        };
        let Some(variable) = variable.and_then(|fact| fact.variable.as_ref()) else { continue };
        let wanted = node.op.effect() == Effect::Write || request.keep.contains(&variable.name);
        if wanted && !states.iter().any(|state| state.variable.name == variable.name) {
            let initial = value_of(request.variables, variable)
                .map_err(|error| error.at(&node.name, &node.op_name, ""))?;
            states.push(State { variable: Arc::clone(variable), initial });
        }
    }
    Ok(states)
}

fn fold_pure(op: &dyn crate::ops::Op, inputs: &[Fact], outputs: &mut [Fact]) -> Result<()> {
    let values: Option<Vec<&Arc<Tensor>>> = inputs.iter().map(|fact| fact.value.as_ref()).collect();
    let small = outputs.iter().all(|fact| {
        fact.shape.concrete().is_none_or(|dims| elements(&dims).is_ok_and(|n| n <= MAX_FOLDED))
    });
    let done = !op.folds() || outputs.iter().all(|fact| fact.value.is_some());
    let (Some(values), true, false) = (values, small, done) else { return Ok(()) };
    if op.passes_input() {
        outputs[0].value = Some(Arc::clone(values[0]));
        return Ok(());
    }
    let wide: Vec<Arc<Tensor>> =
        values.iter().map(|value| reference::widened(value)).collect::<Result<_>>()?;
    let wide: Vec<&Tensor> = wide.iter().map(Arc::as_ref).collect();
    let computed = match op.evaluate(&wide) {
        Err(error) if error.kind() == crate::ErrorKind::Unsupported => return Ok(()),
        computed => computed?,
    };
    for (fact, value) in outputs.iter_mut().zip(computed) {
        fact.shape = Shape::known(value.shape());
        fact.value = Some(Arc::new(value));
    }
    Ok(())
}
