//! Batch norm with the batch's statistics takes the activation behind it along, and its gradient
//! the gate: unless somebody wants what lies between. Both ways give the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::sync::Arc;

use mobilenet_engine::{Attributes, Graph, Plan, PlanOptions, Pool, Session, Shape, TensorId};
use mobilenet_formats::{DType, Tensor};
use support::network::{constant, noise, op, placeholder};

const SHAPE: [usize; 4] = [4, 6, 6, 8];

/// Batch norm, Relu6, and the gradients of both for the slope `dy`.
fn graph() -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let x = placeholder(g, "x", Shape::known(&SHAPE));
    let dy = placeholder(g, "dy", Shape::known(&SHAPE));
    let near = |seed: u64, offset: f32| noise(seed, 8).iter().map(|v| 2.0 * v + offset).collect();
    let gamma = constant(g, "gamma", &[8], near(1, 3.0));
    let beta = constant(g, "beta", &[8], near(2, 2.0));
    let empty = constant(g, "empty", &[0], Vec::new());
    let training = || {
        let attributes = Attributes::new().with_dtype("T", DType::F32).with_dtype("U", DType::F32);
        attributes.with_float("epsilon", 0.001).with_bool("is_training", true)
    };
    let inputs = [x.into(), gamma.into(), beta.into(), empty.into(), empty.into()];
    let norm = g.add("norm", "FusedBatchNormV3", training(), &inputs).unwrap();
    let relu = op(g, "relu", "Relu6", &[norm]);
    let gate = op(g, "gate", "Relu6Grad", &[dy, relu]);
    let kept = |port| TensorId { node: norm, port };
    let inputs = [gate.into(), x.into(), gamma.into(), kept(3), kept(4), kept(5)];
    g.add("slopes", "FusedBatchNormGradV3", training(), &inputs).unwrap();
    graph
}

fn run(outputs: &[&str]) -> (Vec<String>, Vec<Tensor>) {
    let none = |name: &str| unreachable!("no variable {name}");
    let inputs = [("x", Shape::known(&SHAPE)), ("dy", Shape::known(&SHAPE))];
    let plan = Plan::compile(&graph(), &none, &inputs, outputs, &PlanOptions::default()).unwrap();
    let kernels = plan.summary().steps.into_iter().map(|step| step.kernel).collect();
    let mut session = Session::new(Arc::new(plan), Arc::new(Pool::single()));
    let values = |seed| Tensor::new(SHAPE, noise(seed, SHAPE.iter().product())).unwrap();
    (kernels, session.call(&[&values(3), &values(4)]).unwrap())
}

#[test]
fn activations_and_gates_move_into_batch_norm_without_a_change() {
    let wanted = ["relu", "slopes:0", "slopes:1", "slopes:2"];
    let (kernels, fused) = run(&wanted);
    assert!(kernels.iter().any(|name| name.starts_with("batch_norm_train_relu6")), "{kernels:?}");
    assert!(kernels.iter().any(|name| name.starts_with("batch_norm_grad_relu6")), "{kernels:?}");
    assert!(!kernels.iter().any(|name| name.starts_with("relu6")), "{kernels:?}");
    let (kernels, apart) = run(&[&wanted[..], &["norm", "gate"]].concat());
    assert!(kernels.iter().any(|name| name.starts_with("relu6_grad")), "{kernels:?}");
    assert!(!kernels.iter().any(|name| name.contains("_relu6_f32")), "{kernels:?}");
    // Some values are cut off, some are not.
    let relu = fused[0].as_f32().unwrap();
    assert!(
        relu.contains(&0.0) && relu.contains(&6.0) && relu.iter().any(|y| 0.0 < *y && *y < 6.0)
    );
    assert_eq!(fused, apart[..4]);
}
