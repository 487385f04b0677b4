//! Sessions give the same bits whatever the threads, the batch and the other outputs, and agree
//! with the interpreter on every instruction set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::sync::Arc;

use mobilenet_engine::interpret::interpret;
use mobilenet_engine::{
    Attributes, ErrorKind, Graph, Isa, Plan, PlanOptions, Pool, Session, Shape,
};
use mobilenet_formats::{DType, Tensor};
use support::network::{convolution, integers, noise, none, op, small};
use support::{difference, reals};

const OUTPUTS: [&str; 3] = ["depthwise/relu6", "squeezed", "probabilities"];

fn photos(batch: usize) -> Tensor {
    let values =
        noise(batch as u64, batch * 243).into_iter().map(|x| x * 0.5 + 0.5).collect::<Vec<_>>();
    Tensor::new([batch, 9, 9, 3], values).unwrap()
}

#[test]
fn a_plan_agrees_with_the_interpreter_on_every_instruction_set() {
    let graph = small();
    let x = photos(3);
    let wanted = interpret(&graph, &none, &[("x", &x)], &OUTPUTS).unwrap();
    for isa in Isa::available() {
        let options = PlanOptions { isa, ..PlanOptions::default() };
        let shape = Shape::new(vec![None, Some(9), Some(9), Some(3)]);
        let plan = Plan::compile(&graph, &none, &[("x", shape)], &OUTPUTS, &options).unwrap();
        let got = Session::new(plan.into(), Pool::single().into()).call(&[&x]).unwrap();
        for ((name, got), wanted) in OUTPUTS.iter().zip(&got).zip(&wanted) {
            assert_eq!(got.shape(), wanted.shape());
            let worst = difference(&reals(got), &reals(wanted));
            assert!(worst < 2e-6, "{isa} {name}: {worst:.2e}");
        }
    }
}

#[test]
fn threads_batch_and_other_outputs_change_no_bit() {
    let graph = small();
    let x = photos(7);
    let wanted = support::network::session(&graph, None, 1).call(&[&x]).unwrap();
    for threads in [1, 2, 3] {
        for batch in [None, Some(7)] {
            let got = support::network::session(&graph, batch, threads).call(&[&x]).unwrap();
            assert_eq!(got, wanted, "{threads} threads, batch {batch:?}");
        }
        let mut single = support::network::session(&graph, None, threads);
        for i in 0..7 {
            let image = x.as_f32().unwrap()[i * 243..][..243].to_vec();
            let got = single.call(&[&Tensor::new([1, 9, 9, 3], image).unwrap()]).unwrap();
            for (got, wanted) in got.iter().zip(&wanted) {
                let row = got.len();
                let wanted = &wanted.as_f32().unwrap()[i * row..][..row];
                assert_eq!(got.as_f32().unwrap(), wanted, "{threads} threads, image {i}");
            }
        }
    }
    let shape = Shape::new(vec![None, Some(9), Some(9), Some(3)]);
    for (i, output) in OUTPUTS.iter().enumerate() {
        let inputs = [("x", shape.clone())];
        let plan = Plan::compile(&graph, &none, &inputs, &[output], &PlanOptions::default());
        let alone = Session::new(plan.unwrap().into(), Pool::single().into()).call(&[&x]).unwrap();
        assert_eq!(alone[0], wanted[i], "{output} alone");
    }
}

#[test]
fn fusion_leaves_three_steps_and_keeps_what_is_asked_for() {
    let graph = small();
    let shape = Shape::new(vec![None, Some(9), Some(9), Some(3)]);
    let steps = |outputs: &[&str]| {
        let options = PlanOptions::default();
        let inputs = [("x", shape.clone())];
        Plan::compile(&graph, &none, &inputs, outputs, &options).unwrap().summary().steps.len()
    };
    // Convolution, separable convolution, classifier of means.
    assert_eq!(steps(&["squeezed"]), 3);
    assert_eq!(steps(&["squeezed", "pool"]), 4);
    assert_eq!(steps(&["squeezed", "depthwise/relu6"]), 4);
    // Batch norm without the activation: each is computed from the other's step.
    assert_eq!(steps(&["squeezed", "conv/norm", "conv/relu6"]), 4);
}

/// Where a reshape deals the means' channels out anew, and where there are no pixels, mean and product
/// are two steps, and give what the interpreter gives.
#[test]
fn only_means_that_the_product_reads_as_they_are_become_one_step_with_it() {
    for (side, shape, inputs, fused) in
        [(3, [4, 1, 1, 8], 8, 1), (3, [8, 1, 1, 4], 4, 2), (0, [4, 1, 1, 8], 8, 2)]
    {
        let mut graph = Graph::new();
        let images = Shape::known(&[4, side, 3, 8]);
        let attributes =
            Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &images);
        let x = graph.add("x", "Placeholder", attributes, &[]).unwrap();
        let axes = integers(&mut graph, "axes", &[1, 2]);
        let attributes = Attributes::new().with_dtype("T", DType::F32).with_bool("keep_dims", true);
        let x = graph.add("mean", "Mean", attributes, &[x.into(), axes.into()]).unwrap();
        let shape = integers(&mut graph, "shape", &shape);
        let x = op(&mut graph, "reshaped", "Reshape", &[x, shape]);
        convolution(&mut graph, ("classifier", "Conv2D"), x, [1, 1, inputs, 5], 1);
        let x = Tensor::new([4, side, 3, 8], noise(3, 96 * side)).unwrap();
        let wanted = interpret(&graph, &none, &[("x", &x)], &["classifier"]).unwrap();
        let plan = Plan::compile(
            &graph,
            &none,
            &[("x", images)],
            &["classifier"],
            &PlanOptions::default(),
        )
        .unwrap();
        assert_eq!(plan.summary().steps.len(), fused, "{side} {inputs}");
        let got = Session::new(plan.into(), Pool::single().into()).call(&[&x]).unwrap();
        let (got, wanted) = (reals(&got[0]), reals(&wanted[0]));
        assert!(side == 0 || difference(&got, &wanted) < 2e-6, "{side} {inputs}");
        assert_eq!(got.len(), wanted.len());
    }
}

#[test]
fn a_plan_is_shared_between_threads() {
    let graph = small();
    let shape = Shape::new(vec![None, Some(9), Some(9), Some(3)]);
    let plan =
        Plan::compile(&graph, &none, &[("x", shape)], &OUTPUTS, &PlanOptions::default()).unwrap();
    let plan = Arc::new(plan);
    let x = photos(2);
    let wanted = Session::new(Arc::clone(&plan), Pool::single().into()).call(&[&x]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut session = Session::new(Arc::clone(&plan), Pool::single().into());
                for _ in 0..20 {
                    assert_eq!(session.call(&[&x]).unwrap(), wanted);
                }
            });
        }
    });
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let graph = small();
    let mut session = support::network::session(&graph, None, 1);
    let error = session.call(&[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let wrong = Tensor::new([1, 9, 9, 4], vec![0f32; 324]).unwrap();
    let error = session.call(&[&wrong]).unwrap_err();
    assert_eq!(error.to_string(), "input 'x:0' is float32[1, 9, 9, 4], float32[?,9,9,3] wanted");
    let wrong = Tensor::new([1, 9, 9, 3], vec![0u8; 243]).unwrap();
    assert_eq!(session.call(&[&wrong]).unwrap_err().kind(), ErrorKind::Input);
    let none = Tensor::new([0, 9, 9, 3], Vec::<f32>::new()).unwrap();
    assert_eq!(session.call(&[&none]).unwrap()[2].shape(), [0, 5]);
}
