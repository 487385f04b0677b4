//! Layers in training, whose steps become few: the same numbers come out as in float64, op by op.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use mobilenet_engine::{
    Attributes, Graph, NodeId, Plan, PlanOptions, Pool, Session, Shape, TensorId, differentiate,
    interpret::interpret,
};
use mobilenet_formats::{DType, Tensor};
use support::network::{constant, integers, noise, op, placeholder};
use support::reals;

/// Odd sizes and channels, so that no vector is filled evenly.
const IMAGES: [usize; 4] = [3, 9, 7, 3];

/// The filters, each a placeholder: they change from run to run.
const FILTERS: [(&str, &str, [usize; 4], i64); 5] = [
    ("first", "Conv2D", [3, 3, 3, 8], 2),
    ("depthwise", "DepthwiseConv2dNative", [3, 3, 8, 1], 1),
    ("pointwise", "Conv2D", [1, 1, 8, 21], 1),
    ("strided", "DepthwiseConv2dNative", [3, 3, 21, 1], 2),
    ("last", "Conv2D", [1, 1, 21, 5], 1),
];

/// Convolution, batch norm in training, relu6.
fn layer(g: &mut Graph, x: NodeId, layer: &(&str, &str, [usize; 4], i64)) -> NodeId {
    let &(name, kind, filter, stride) = layer;
    let weights = placeholder(g, &format!("{name}/weights"), Shape::known(&filter));
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_ints("strides", &[1, stride, stride, 1])
        .with_string("padding", "SAME");
    let x = g.add(name, kind, attributes, &[x.into(), weights.into()]).unwrap();
    let channels =
        filter[2..].iter().product::<usize>() / if kind == "Conv2D" { filter[2] } else { 1 };
    let near = |seed, middle: f32| noise(seed, channels).iter().map(|v| v + middle).collect();
    let gamma = constant(g, &format!("{name}/gamma"), &[channels], near(1, 2.0));
    let beta = constant(g, &format!("{name}/beta"), &[channels], near(2, 1.0));
    let empty = constant(g, &format!("{name}/empty"), &[0], Vec::new());
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_dtype("U", DType::F32)
        .with_float("epsilon", 0.001)
        .with_bool("is_training", true);
    let inputs = [x, gamma, beta, empty, empty].map(TensorId::from);
    let norm = g.add(format!("{name}/norm"), "FusedBatchNormV3", attributes, &inputs).unwrap();
    op(g, &format!("{name}/relu6"), "Relu6", &[norm])
}

/// Five layers and a loss, with its slopes by images, filters, scales and shifts.
fn graph() -> (Graph, Vec<String>) {
    let mut graph = Graph::new();
    let g = &mut graph;
    let mut x = placeholder(g, "images", Shape::known(&IMAGES));
    for filter in &FILTERS {
        x = layer(g, x, filter);
    }
    let shape = g.fact(x.into()).shape.concrete().unwrap();
    let weights = constant(g, "weights", &shape, noise(5, shape.iter().product()));
    let weighted = op(g, "weighted", "Mul", &[x, weights]);
    let axes = integers(g, "axes", &[0, 1, 2, 3]);
    let attributes = Attributes::new().with_dtype("T", DType::F32);
    g.add("loss", "Sum", attributes, &[weighted.into(), axes.into()]).unwrap();
    let names = FILTERS
        .iter()
        .flat_map(|(name, ..)| ["weights", "gamma", "beta"].map(|what| format!("{name}/{what}")));
    let names: Vec<String> = std::iter::once("images".to_owned()).chain(names).collect();
    let targets: Vec<&str> = names.iter().map(String::as_str).collect();
    let slopes = differentiate(g, "loss", &targets).unwrap();
    let mut outputs: Vec<String> =
        slopes.iter().map(|slope| g.tensor_name(slope.unwrap())).collect();
    outputs.push("loss:0".to_owned());
    outputs
        .extend(FILTERS.iter().flat_map(|(name, ..)| [1, 2].map(|i| format!("{name}/norm:{i}"))));
    (graph, outputs)
}

fn fed() -> Vec<(String, Tensor)> {
    let images = ("images".to_owned(), IMAGES);
    let filters = FILTERS.iter().map(|&(name, _, shape, _)| (format!("{name}/weights"), shape));
    let all = std::iter::once(images).chain(filters).enumerate();
    all.map(|(seed, (name, shape))| {
        (name, Tensor::new(shape, noise(40 + seed as u64, shape.iter().product())).unwrap())
    })
    .collect()
}

/// Names of kernels, and what `outputs` are.
fn run(graph: &Graph, outputs: &[&str], threads: usize) -> (Vec<String>, Vec<Tensor>) {
    let none = |name: &str| panic!("no variable {name}");
    let fed = fed();
    let inputs: Vec<(&str, Shape)> =
        fed.iter().map(|(name, value)| (name.as_str(), Shape::known(value.shape()))).collect();
    let options = PlanOptions { threads, ..PlanOptions::default() };
    let plan = Plan::compile(graph, &none, &inputs, outputs, &options).unwrap();
    let kernels = plan.summary().steps.into_iter().map(|step| step.kernel).collect();
    let mut session = Session::new(Arc::new(plan), Arc::new(Pool::new(threads)));
    let values: Vec<&Tensor> = fed.iter().map(|(_, value)| value).collect();
    (kernels, session.call(&values).unwrap())
}

#[test]
fn layers_in_one_step_agree_with_float64_op_by_op() {
    let (graph, names) = graph();
    let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let (kernels, got) = run(&graph, &outputs, 1);
    let count = |part: &str| kernels.iter().filter(|name| name.contains(part)).count();
    // The first convolution is neither pointwise nor depthwise; nothing reads the last norm that
    // could apply it.
    assert_eq!(count("_layer_f32"), 4, "{kernels:?}");
    assert_eq!(count("_layer_grad_relu6"), 5, "{kernels:?}");
    // All but the last have the slopes of scale and shift summed for them.
    assert_eq!(count("_known"), 4, "{kernels:?}");
    assert_eq!((count("batch_statistics"), count("batch_norm_train")), (1, 1), "{kernels:?}");
    assert_eq!(count("batch_norm_grad") + count("backprop"), 0, "{kernels:?}");
    assert_eq!(got, run(&graph, &outputs, 3).1, "one thread and three");

    let fed = fed();
    let values: Vec<(&str, &Tensor)> =
        fed.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let none = |name: &str| panic!("no variable {name}");
    let want = interpret(&graph, &none, &values, &outputs).unwrap();
    for ((name, got), want) in names.iter().zip(&got).zip(want) {
        let (got, want) = (reals(got), reals(&want));
        let largest = want.iter().fold(1e-3_f64, |most, value| most.max(value.abs()));
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= 3e-5 * largest, "{name}: {got} for {want}");
        }
    }
}

#[test]
fn a_norm_that_is_asked_for_is_written() {
    let (graph, names) = graph();
    let mut outputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_, fused) = run(&graph, &outputs, 1);
    let inner = ["depthwise/relu6", "pointwise/relu6", "strided/relu6"];
    outputs.extend(inner);
    let (kernels, apart) = run(&graph, &outputs, 1);
    let written = kernels.iter().filter(|name| name.contains("batch_norm_train")).count();
    assert_eq!(written, 4, "{kernels:?}");
    for ((name, fused), apart) in names.iter().zip(&fused).zip(&apart) {
        let (fused, apart) = (reals(fused), reals(apart));
        let largest = apart.iter().fold(1e-3_f64, |most, value| most.max(value.abs()));
        for (fused, apart) in fused.iter().zip(&apart) {
            assert!((fused - apart).abs() <= 3e-5 * largest, "{name}: {fused} for {apart}");
        }
    }
}
