//! Every rule of differentiation against central differences, all in float64: the reference
//! interpreter computes loss and slopes.
//!
//! The loss is the sum of an op's output times fixed weights. Steps of 1e-5 leave differences
//! 2e-9 off at most for the values here, rounding included. Values keep away from kinks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use mobilenet_engine::interpret::interpret;
use mobilenet_engine::{
    Attributes, Error, Graph, Plan, PlanOptions, Pool, Session, Shape, TensorId,
    differentiable_ops, differentiate,
};
use mobilenet_formats::{DType, Tensor};
use support::network::{constant, integers, noise, none, placeholder};
use support::{difference, reals};

const STEP: f64 = 1e-5;
/// Of slopes below 1; of larger ones relative.
const TOLERANCE: f64 = 1e-7;

/// The range of the fake quantisations with one range: 0 is one of its values.
const ENDS: [f32; 2] = [-1.28, 1.27];

/// An input of an op; the shape comes first.
enum Input {
    /// Has a slope; values between two numbers.
    Drawn(&'static [usize], f64, f64),
    /// Has a slope; these values.
    Spread(&'static [usize], &'static [f64]),
    /// Has a slope; a variable behind its handle.
    Variable(&'static [usize]),
    /// The rule stops here; these values.
    Given(&'static [usize], &'static [f64]),
    /// The rule stops here; truth values.
    Flags(&'static [usize], &'static [bool]),
    /// Axes or sizes, constant.
    Ints(&'static [i32]),
}

use Input::{Drawn, Flags, Given, Ints, Spread, Variable};

struct Case {
    op: &'static str,
    attributes: Attributes,
    inputs: Vec<Input>,
}

/// What is fed to an input.
#[derive(Clone)]
struct Value {
    name: String,
    tensor: Tensor,
    has_slope: bool,
}

impl Input {
    fn add(&self, graph: &mut Graph, name: &str) -> TensorId {
        let (op, dtype, shape) = match self {
            Ints(values) => return integers(graph, name, values).into(),
            Variable(shape) => ("VarHandleOp", DType::F32, *shape),
            Flags(shape, _) => ("Placeholder", DType::Bool, *shape),
            Drawn(shape, ..) | Spread(shape, _) | Given(shape, _) => {
                ("Placeholder", DType::F32, *shape)
            }
        };
        let attributes =
            Attributes::new().with_dtype("dtype", dtype).with_shape("shape", &Shape::known(shape));
        graph.add(name, op, attributes, &[]).unwrap().into()
    }

    /// `None` where the graph holds the value.
    fn value(&self, index: usize) -> Option<Value> {
        let drawn = |shape: &[usize], low: f64, high: f64| {
            let share = |value: f32| (f64::from(value) + 1.0) / 2.0;
            let values = noise(7 + 10 * index as u64, shape.iter().product());
            let values: Vec<f64> =
                values.into_iter().map(|value| low + (high - low) * share(value)).collect();
            Tensor::new(shape, values).unwrap()
        };
        let tensor = match self {
            Ints(_) => return None,
            Drawn(shape, low, high) => drawn(shape, *low, *high),
            Variable(shape) => drawn(shape, -1.0, 1.0),
            Spread(shape, values) | Given(shape, values) => {
                Tensor::new(*shape, values.to_vec()).unwrap()
            }
            Flags(shape, values) => Tensor::new(*shape, values.to_vec()).unwrap(),
        };
        let has_slope = !matches!(self, Given(..) | Flags(..));
        Some(Value { name: format!("x{index}"), tensor, has_slope })
    }
}

impl Case {
    fn values(&self) -> Vec<Value> {
        let inputs = self.inputs.iter().enumerate();
        inputs.filter_map(|(index, input)| input.value(index)).collect()
    }

    /// The inputs, the op and the loss.
    fn graph(&self) -> Graph {
        let (mut graph, inputs) = self.start();
        let y = graph.add("y", self.op, self.attributes.clone(), &inputs).unwrap();
        weigh(&mut graph, y.into());
        graph
    }

    /// The graph whose slopes the rule gives: the op's own, but rounding has none, and its rule
    /// gives those of cutting values off at the ends of the range.
    fn smooth(&self) -> Graph {
        if !self.op.starts_with("FakeQuant") {
            return self.graph();
        }
        let (mut graph, inputs) = self.start();
        let ends = match inputs.get(1..) {
            Some(&[low, high]) => [low, high],
            _ => ENDS.map(|end| constant(&mut graph, &format!("end{end}"), &[], vec![end]).into()),
        };
        let cut = graph.add("cut", "Maximum", float(), &[inputs[0], ends[0]]).unwrap();
        let y = graph.add("y", "Minimum", float(), &[cut.into(), ends[1]]).unwrap();
        weigh(&mut graph, y.into());
        graph
    }

    fn start(&self) -> (Graph, Vec<TensorId>) {
        let mut graph = Graph::new();
        let mut inputs = Vec::new();
        for (index, input) in self.inputs.iter().enumerate() {
            inputs.push(input.add(&mut graph, &format!("x{index}")));
        }
        (graph, inputs)
    }
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

/// Adds `loss`, the sum of `y` times weights.
fn weigh(graph: &mut Graph, y: TensorId) {
    let shape = graph.fact(y).shape.concrete().unwrap();
    let weights = constant(graph, "weights", &shape, noise(99, shape.iter().product()));
    let name = if shape.is_empty() { "loss" } else { "weighted" };
    let weighted = graph.add(name, "Mul", float(), &[y, weights.into()]).unwrap();
    if !shape.is_empty() {
        let axes: Vec<i32> = (0..shape.len() as i32).collect();
        let axes = integers(graph, "axes", &axes);
        graph.add("loss", "Sum", float(), &[weighted.into(), axes.into()]).unwrap();
    }
}

fn evaluate(graph: &Graph, values: &[Value], outputs: &[&str]) -> Vec<Arc<Tensor>> {
    let variables = |name: &str| -> Result<Arc<Tensor>, Error> {
        let value = values.iter().find(|value| value.name == name).unwrap();
        Ok(Arc::new(value.tensor.clone()))
    };
    let fed: Vec<(&str, &Tensor)> =
        values.iter().map(|value| (value.name.as_str(), &value.tensor)).collect();
    interpret(graph, &variables, &fed, outputs).unwrap()
}

/// The slope of `loss` by each element of one of the values.
fn differences(graph: &Graph, values: &[Value], index: usize) -> Vec<f64> {
    let of = |element: usize| {
        let loss = |step: f64| {
            let mut moved = values.to_vec();
            moved[index].tensor.as_f64_mut().unwrap()[element] += step;
            evaluate(graph, &moved, &["loss"])[0].as_f64().unwrap()[0]
        };
        (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    };
    (0..values[index].tensor.len()).map(of).collect()
}

fn expect_near(label: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{label}");
    assert!(want.iter().any(|want| want.abs() > 1e-3), "{label}: no slope to compare");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let gap = (got - want).abs();
        assert!(gap <= TOLERANCE * want.abs().max(1.0), "{label}[{at}]: {got}, wanted {want}");
    }
}

fn case(op: &'static str, attributes: Attributes, inputs: Vec<Input>) -> Case {
    Case { op, attributes, inputs }
}

/// Element by element on one operand, and what looks like it.
fn unary() -> Vec<Case> {
    let positive = || vec![Drawn(&[2, 3], 0.5, 2.0)];
    let any = || vec![Drawn(&[2, 3], -1.0, 1.0)];
    let gates: &[f64] = &[-1.5, -0.2, 0.3, 2.5, 5.5, 7.0];
    vec![
        case("Exp", float(), any()),
        case("Floor", float(), vec![Given(&[3], &[-0.5, 0.5, 1.5])]),
        case("Identity", float(), any()),
        case("L2Loss", float(), any()),
        case("Log", float(), positive()),
        case("Neg", float(), any()),
        case("ReadVariableOp", float(), vec![Variable(&[2, 3])]),
        case("Relu", float(), vec![Spread(&[6], gates)]),
        case("Relu6", float(), vec![Spread(&[6], gates)]),
        case("Rsqrt", float(), positive()),
        case("Sigmoid", float(), any()),
        case("Snapshot", float(), any()),
        case("Softmax", float(), any()),
        case("Sqrt", float(), positive()),
        case("Square", float(), any()),
        case("StopGradient", float(), vec![Given(&[3], &[-0.5, 0.5, 1.5])]),
    ]
}

/// Shapes of two operands.
const STRETCHED: [[&[usize]; 2]; 4] =
    [[&[2, 3], &[2, 3]], [&[2, 3], &[3]], [&[2, 1], &[4, 1, 3]], [&[], &[2]]];

/// On several operands, most of them stretched to the shape of another.
fn operands() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Add", "AddV2", "Mul", "RealDiv", "SquaredDifference", "Sub"] {
        for [a, b] in STRETCHED {
            cases.push(case(op, float(), vec![Drawn(a, -1.0, 1.0), Drawn(b, 0.75, 2.0)]));
        }
    }
    let same = || Drawn(&[2, 3], -1.0, 1.0);
    cases.push(case("AddN", float().with_int("N", 3), vec![same(), same(), same()]));
    let inputs = vec![Drawn(&[2, 2, 2, 3], -1.0, 1.0), Drawn(&[3], -1.0, 1.0)];
    cases.push(case("BiasAdd", float(), inputs));
    let flags = Flags(&[2, 1], &[true, false]);
    cases.push(case("SelectV2", float(), vec![flags, same(), Drawn(&[3], -1.0, 1.0)]));
    cases.push(case("MatMul", float(), vec![same(), Drawn(&[3, 4], -1.0, 1.0)]));
    let labels: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.0, 1.0, 0.0, 0.0];
    let inputs = vec![Drawn(&[2, 4], -1.0, 1.0), Given(&[2, 4], labels)];
    cases.push(case("SoftmaxCrossEntropyWithLogits", float(), inputs));
    cases
}

/// Other shapes, and sums.
fn shapes() -> Vec<Case> {
    let x = || Drawn(&[2, 3, 2], -1.0, 1.0);
    let thin = vec![Drawn(&[2, 1, 3], -1.0, 1.0)];
    let axes: [&[i32]; 3] = [&[1], &[0, -1], &[0, 1, 2]];
    let mut cases = vec![
        case("ExpandDims", float(), vec![x(), Ints(&[1])]),
        case("Reshape", float(), vec![x(), Ints(&[4, -1])]),
        case("Squeeze", float().with_ints("squeeze_dims", &[1]), thin),
    ];
    for op in ["Mean", "Sum"] {
        for axes in axes {
            for keep in [false, true] {
                let attributes = float().with_bool("keep_dims", keep);
                cases.push(case(op, attributes, vec![x(), Ints(axes)]));
            }
        }
    }
    cases
}

fn convolutions() -> Vec<Case> {
    let mut cases = Vec::new();
    let windows = [
        float().with_ints("strides", &[1, 2, 2, 1]).with_string("padding", "SAME"),
        float()
            .with_ints("strides", &[1, 1, 1, 1])
            .with_ints("dilations", &[1, 2, 1, 1])
            .with_string("padding", "VALID"),
        float()
            .with_ints("strides", &[1, 2, 1, 1])
            .with_string("padding", "EXPLICIT")
            .with_ints("explicit_paddings", &[0, 0, 1, 0, 0, 2, 0, 0]),
    ];
    for attributes in windows {
        for op in ["Conv2D", "DepthwiseConv2dNative"] {
            let inputs = vec![Drawn(&[2, 5, 4, 2], -1.0, 1.0), Drawn(&[3, 2, 2, 3], -1.0, 1.0)];
            cases.push(case(op, attributes.clone(), inputs));
        }
    }
    cases
}

fn window(kernel: [i64; 2], strides: [i64; 2], padding: &str) -> Attributes {
    let four = |[height, width]: [i64; 2]| [1, height, width, 1];
    let attributes = float().with_ints("ksize", &four(kernel)).with_string("padding", padding);
    attributes.with_ints("strides", &four(strides))
}

/// The whole image, windows apart, windows that overlap, and gaps between them.
fn pools() -> Vec<Case> {
    let windows =
        [([5, 7], [1, 1]), ([5, 7], [2, 2]), ([2, 2], [2, 2]), ([3, 3], [1, 2]), ([1, 2], [2, 3])];
    let cases = windows.iter().flat_map(|&(kernel, strides)| {
        ["SAME", "VALID"].map(|padding| {
            let inputs = vec![Drawn(&[2, 5, 7, 3], -1.0, 1.0)];
            case("AvgPool", window(kernel, strides, padding), inputs)
        })
    });
    cases.collect()
}

fn batch_norms() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"] {
        for training in [true, false] {
            let (mean, variance) = match training {
                true => (Given(&[0], &[]), Given(&[0], &[])),
                false => (Given(&[2], &[0.1, -0.2]), Given(&[2], &[0.5, 1.5])),
            };
            let inputs = vec![
                Drawn(&[2, 3, 2, 2], -1.0, 1.0),
                Drawn(&[2], 0.5, 1.5),
                Drawn(&[2], -1.0, 1.0),
                mean,
                variance,
            ];
            let attributes =
                float().with_float("epsilon", 0.001).with_bool("is_training", training);
            cases.push(case(op, attributes, inputs));
        }
    }
    cases
}

fn fake_quantisations() -> Vec<Case> {
    let x = || Spread(&[6], &[-2.0, -1.5, -0.5, 0.4, 1.1, 1.9]);
    let channels: &[f64] = &[-2.0, -0.9, -3.0, -0.5, 0.1, 1.1, 0.7, 0.3, -1.3, 1.9, 0.8, 2.9];
    vec![
        case(
            "FakeQuantWithMinMaxArgs",
            Attributes::new().with_float("min", ENDS[0]).with_float("max", ENDS[1]),
            vec![x()],
        ),
        case(
            "FakeQuantWithMinMaxVars",
            Attributes::new(),
            vec![x(), Spread(&[], &[-1.28]), Spread(&[], &[1.27])],
        ),
        case(
            "FakeQuantWithMinMaxVarsPerChannel",
            Attributes::new(),
            vec![
                Spread(&[4, 3], channels),
                Spread(&[3], &[-1.28, -0.64, -2.56]),
                Spread(&[3], &[1.27, 0.635, 2.54]),
            ],
        ),
    ]
}

fn cases() -> Vec<Case> {
    let groups = [
        unary(),
        operands(),
        shapes(),
        convolutions(),
        pools(),
        batch_norms(),
        fake_quantisations(),
    ];
    groups.into_iter().flatten().collect()
}

#[test]
fn every_rule_has_a_case() {
    let tested: BTreeSet<&str> = cases().iter().map(|case| case.op).collect();
    assert_eq!(tested, differentiable_ops().collect::<BTreeSet<_>>());
}

#[test]
fn slopes_agree_with_differences() {
    for case in cases() {
        let (mut graph, smooth, values) = (case.graph(), case.smooth(), case.values());
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let slopes = differentiate(&mut graph, "loss", &names).unwrap();
        for (index, slope) in slopes.into_iter().enumerate() {
            let shape = values[index].tensor.shape();
            let label = format!("{} {:?} by {}{shape:?}", case.op, case.attributes, names[index]);
            assert_eq!(slope.is_some(), values[index].has_slope, "{label}");
            let Some(slope) = slope else { continue };
            let slope = graph.tensor_name(slope);
            let got = evaluate(&graph, &values, &[slope.as_str()]).remove(0);
            assert_eq!(got.shape(), shape, "{label}");
            expect_near(&label, got.as_f64().unwrap(), &differences(&smooth, &values, index));
        }
    }
}

/// In float32: a slope is the sum of at most 35 shares of slopes below 2.
#[test]
fn compiled_slopes_of_pools_are_those_of_the_interpreter() {
    for case in pools() {
        let (mut graph, inputs) = case.start();
        let y = graph.add("y", case.op, case.attributes.clone(), &inputs).unwrap();
        // The slope depends on the values, so nothing of it is computed in advance.
        let squared = graph.add("squared", "Square", float(), &[y.into()]).unwrap();
        weigh(&mut graph, squared.into());
        let slope = differentiate(&mut graph, "loss", &["x0"]).unwrap()[0].unwrap();
        let slope = graph.tensor_name(slope);
        let values = case.values();
        let want = evaluate(&graph, &values, &[slope.as_str()]).remove(0);
        let (shape, x) = (values[0].tensor.shape(), values[0].tensor.as_f64().unwrap());
        let x = Tensor::new(shape, x.iter().map(|&x| x as f32).collect::<Vec<_>>()).unwrap();
        for threads in [1, 3] {
            let fed = [("x0", Shape::known(shape))];
            let options = PlanOptions { threads, ..PlanOptions::default() };
            let plan = Plan::compile(&graph, &none, &fed, &[slope.as_str()], &options).unwrap();
            let kernels: Vec<_> =
                plan.summary().steps.into_iter().map(|step| step.kernel).collect();
            let label = format!("{:?} {kernels:?}", case.attributes);
            assert!(kernels.iter().any(|name| name.starts_with("average_pool_grad")), "{label}");
            let mut session = Session::new(Arc::new(plan), Arc::new(Pool::new(threads)));
            let got = session.call(&[&x]).unwrap().remove(0);
            assert_eq!(got.shape(), want.shape(), "{label}");
            let worst = difference(&reals(&got), want.as_f64().unwrap());
            assert!(worst <= 1e-6, "{label}: {worst:e}");
        }
    }
}

#[test]
fn pools_whose_slope_has_another_shape_are_refused() {
    let mut graph = Graph::new();
    let sizes = integers(&mut graph, "sizes", &[1, 4, 4, 2]);
    let dy = placeholder(&mut graph, "dy", Shape::known(&[1, 3, 3, 2]));
    let attributes = window([2, 2], [2, 2], "VALID");
    graph.add("dx", "AvgPoolGrad", attributes, &[sizes.into(), dy.into()]).unwrap();
    let fed = [("dy", Shape::known(&[1, 3, 3, 2]))];
    let error = Plan::compile(&graph, &none, &fed, &["dx"], &PlanOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("dx") && text.contains("is pooled to [1, 2, 2, 2]"), "{text}");
}
