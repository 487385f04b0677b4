//! A small network of the ops of MobileNet, made here: tests that need no files use it.

use std::sync::Arc;

use mobilenet_engine::{Attributes, Error, Graph, NodeId, Plan, PlanOptions, Pool, Session, Shape};
use mobilenet_formats::{DType, Tensor};

/// Numbers between -1 and 1 from a small generator.
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A float placeholder.
pub fn placeholder(graph: &mut Graph, name: &str, shape: Shape) -> NodeId {
    let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    graph.add(name, "Placeholder", attributes, &[]).unwrap()
}

/// A float constant.
pub fn constant(graph: &mut Graph, name: &str, shape: &[usize], values: Vec<f32>) -> NodeId {
    let value = Tensor::new(shape, values).unwrap();
    let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_tensor("value", &value);
    graph.add(name, "Const", attributes, &[]).unwrap()
}

/// An integer constant of rank 1.
pub fn integers(graph: &mut Graph, name: &str, values: &[i32]) -> NodeId {
    let value = Tensor::new([values.len()], values.to_vec()).unwrap();
    let attributes = Attributes::new().with_dtype("dtype", DType::I32).with_tensor("value", &value);
    graph.add(name, "Const", attributes, &[]).unwrap()
}

/// An op without attributes but `T`.
pub fn op(graph: &mut Graph, name: &str, op: &str, inputs: &[NodeId]) -> NodeId {
    let inputs: Vec<_> = inputs.iter().map(|&node| node.into()).collect();
    let attributes = Attributes::new().with_dtype("T", DType::F32);
    graph.add(name, op, attributes, &inputs).unwrap()
}

/// A convolution with `SAME` padding.
pub fn convolution(
    graph: &mut Graph,
    (name, op): (&str, &str),
    x: NodeId,
    filter: [usize; 4],
    stride: i64,
) -> NodeId {
    let weights = noise(name.len() as u64 * 31 + stride as u64, filter.iter().product());
    let weights = weights.into_iter().map(|w| w * 0.5).collect();
    let filter = constant(graph, &format!("{name}/weights"), &filter, weights);
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_ints("strides", &[1, stride, stride, 1])
        .with_string("padding", "SAME");
    graph.add(name, op, attributes, &[x.into(), filter.into()]).unwrap()
}

/// Batch norm with given statistics, fused.
pub fn batch_norm(graph: &mut Graph, name: &str, x: NodeId, channels: usize) -> NodeId {
    let mut parameter = |what: &str, seed: u64, offset: f32| {
        let values = noise(seed, channels).into_iter().map(|v| v * 0.4 + offset).collect();
        constant(graph, &format!("{name}/{what}"), &[channels], values)
    };
    let inputs = [
        x,
        parameter("gamma", 3, 1.0),
        parameter("beta", 5, 0.5),
        parameter("mean", 7, 0.0),
        parameter("variance", 11, 1.0),
    ];
    let inputs: Vec<_> = inputs.iter().map(|&node| node.into()).collect();
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_float("epsilon", 0.001)
        .with_bool("is_training", false);
    graph.add(name, "FusedBatchNormV3", attributes, &inputs).unwrap()
}

/// `x*2-1`, a convolution, a separable one, global pool, a classifier, softmax: `x [?, 9, 9, 3]`
/// to `probabilities [?, 5]`.
pub fn small() -> Graph {
    let mut graph = Graph::new();
    let x = placeholder(&mut graph, "x", photos(None));
    small_on(&mut graph, x);
    graph
}

/// The shape of what [`small`] takes.
pub fn photos(batch: Option<usize>) -> Shape {
    Shape::new(vec![batch, Some(9), Some(9), Some(3)])
}

/// The rest of [`small`], behind `x`.
pub fn small_on(g: &mut Graph, x: NodeId) {
    let two = constant(g, "two", &[], vec![2.0]);
    let one = constant(g, "one", &[], vec![1.0]);
    let x = op(g, "double", "Mul", &[x, two]);
    let x = op(g, "slim", "Sub", &[x, one]);
    let x = convolution(g, ("conv", "Conv2D"), x, [3, 3, 3, 8], 2);
    let x = batch_norm(g, "conv/norm", x, 8);
    let x = op(g, "conv/relu6", "Relu6", &[x]);
    let x = convolution(g, ("depthwise", "DepthwiseConv2dNative"), x, [3, 3, 8, 1], 1);
    let x = batch_norm(g, "depthwise/norm", x, 8);
    let x = op(g, "depthwise/relu6", "Relu6", &[x]);
    let x = convolution(g, ("pointwise", "Conv2D"), x, [1, 1, 8, 24], 1);
    let x = batch_norm(g, "pointwise/norm", x, 24);
    let x = op(g, "pointwise/relu6", "Relu6", &[x]);
    let axes = integers(g, "axes", &[1, 2]);
    let attributes = Attributes::new().with_dtype("T", DType::F32).with_bool("keep_dims", true);
    let x = g.add("pool", "Mean", attributes, &[x.into(), axes.into()]).unwrap();
    let x = convolution(g, ("classifier", "Conv2D"), x, [1, 1, 24, 5], 1);
    let bias = constant(g, "bias", &[5], noise(13, 5));
    let x = op(g, "logits", "BiasAdd", &[x, bias]);
    let attributes =
        Attributes::new().with_dtype("T", DType::F32).with_ints("squeeze_dims", &[1, 2]);
    let x = g.add("squeezed", "Squeeze", attributes, &[x.into()]).unwrap();
    op(g, "probabilities", "Softmax", &[x]);
}

/// No variables.
pub fn none(name: &str) -> Result<Arc<Tensor>, Error> {
    panic!("no variable {name}")
}

/// A session of the small network that gives an inner value, the logits and the probabilities.
pub fn session(graph: &Graph, batch: Option<usize>, threads: usize) -> Session {
    let shape = photos(batch);
    let outputs = ["depthwise/relu6", "squeezed", "probabilities"];
    let options = PlanOptions { threads, ..PlanOptions::default() };
    let plan = Plan::compile(graph, &none, &[("x", shape)], &outputs, &options).unwrap();
    Session::new(Arc::new(plan), Arc::new(Pool::new(threads)))
}
