//! Images of bytes give the bits of the floats they stand for: as an input of floats that comes as
//! bytes, and through `Cast` in the graph; inside of the first convolution, and where there is none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use mobilenet_engine::interpret::interpret;
use mobilenet_engine::{
    Attributes, ErrorKind, Graph, Isa, NodeId, Plan, PlanOptions, Pool, Session, freeze,
};
use mobilenet_formats::{DType, Tensor};
use support::network::{constant, convolution, none, op, photos, placeholder, small, small_on};
use support::{difference, reals};

const STEP: f32 = 1.0 / 255.0;
const OUTPUTS: [&str; 2] = ["depthwise/relu6", "probabilities"];

fn pixels(batch: usize) -> Tensor {
    let values = (0..batch * 243).map(|i| (i * 7919 % 256) as u8).collect::<Vec<_>>();
    Tensor::new([batch, 9, 9, 3], values).unwrap()
}

/// What `pixels` stand for.
fn widened(pixels: &Tensor) -> Tensor {
    let values: Vec<f32> =
        pixels.as_u8().unwrap().iter().map(|&byte| f32::from(byte) * STEP).collect();
    Tensor::new(pixels.shape(), values).unwrap()
}

/// `x`, bytes, as floats: `factor` with `arithmetic`.
fn cast(graph: &mut Graph, arithmetic: &str, factor: f32) -> NodeId {
    let attributes =
        Attributes::new().with_dtype("dtype", DType::U8).with_shape("shape", &photos(None));
    let x = graph.add("x", "Placeholder", attributes, &[]).unwrap();
    let attributes = Attributes::new().with_dtype("SrcT", DType::U8).with_dtype("DstT", DType::F32);
    let x = graph.add("cast", "Cast", attributes, &[x.into()]).unwrap();
    let factor = constant(graph, "factor", &[], vec![factor]);
    op(graph, "unit", arithmetic, &[x, factor])
}

fn compile(graph: &Graph, batch: Option<usize>, outputs: &[&str], options: &PlanOptions) -> Plan {
    Plan::compile(graph, &none, &[("x", photos(batch))], outputs, options).unwrap()
}

fn first_kernel(plan: &Plan) -> String {
    plan.summary().steps[0].kernel.clone()
}

fn run(plan: Plan, threads: usize, x: &Tensor) -> Vec<Tensor> {
    Session::new(plan.into(), Pool::new(threads).into()).call(&[x]).unwrap()
}

fn given_as_bytes() -> PlanOptions {
    PlanOptions { bytes: vec![("x".into(), STEP)], ..PlanOptions::default() }
}

#[test]
fn an_input_of_floats_comes_as_bytes() {
    let graph = small();
    // With `slim` asked for, the convolution has no bytes to read.
    for (outputs, kernel) in
        [(&OUTPUTS[..], "conv2d of bytes: "), (&["slim", OUTPUTS[1]][..], "widen_u8__")]
    {
        for isa in Isa::available() {
            for (batch, threads) in [(None, 1), (None, 2), (Some(3), 1), (Some(3), 2)] {
                let floats = PlanOptions { isa, threads, ..PlanOptions::default() };
                let bytes = PlanOptions { isa, threads, ..given_as_bytes() };
                let plain = compile(&graph, batch, outputs, &floats);
                let plan = compile(&graph, batch, outputs, &bytes);
                assert_eq!(plan.inputs()[0].dtype, DType::U8);
                assert_eq!(plan.inputs()[0].shape, plain.inputs()[0].shape);
                assert!(first_kernel(&plan).starts_with(kernel), "{}", first_kernel(&plan));
                let x = pixels(3);
                let wanted = run(plain, threads, &widened(&x));
                assert_eq!(run(plan, threads, &x), wanted, "{isa}, {threads} threads, {batch:?}");
            }
        }
    }
}

#[test]
fn a_graph_casts_bytes() {
    let x = pixels(3);
    let options = PlanOptions::default();
    for (arithmetic, factor) in [("Mul", STEP), ("RealDiv", 255.0)] {
        let mut graph = Graph::new();
        let unit = cast(&mut graph, arithmetic, factor);
        small_on(&mut graph, unit);
        for (outputs, kernel) in
            [(&OUTPUTS[..], "conv2d of bytes: "), (&["slim", OUTPUTS[1]][..], "widen_u8__")]
        {
            let plan = compile(&graph, None, outputs, &options);
            assert!(first_kernel(&plan).starts_with(kernel), "{}", first_kernel(&plan));
            let got = run(plan, 1, &x);
            let plain = compile(&small(), None, outputs, &options);
            assert_eq!(got, run(plain, 1, &widened(&x)), "{arithmetic}");
            let exact = interpret(&graph, &none, &[("x", &x)], outputs).unwrap();
            for (got, exact) in got.iter().zip(&exact) {
                assert!(difference(&reals(got), &reals(exact)) < 2e-6, "{arithmetic}");
            }
        }
    }
}

#[test]
fn what_is_no_first_convolution_reads_floats_made_before() {
    let x = pixels(2);
    for (what, filter) in
        [("DepthwiseConv2dNative", [3, 3, 3, 1]), ("Conv2D", [1, 1, 3, 4]), ("Relu", [0; 4])]
    {
        let build = |graph: &mut Graph, x: NodeId| {
            if what == "Relu" {
                op(graph, "y", what, &[x]);
            } else {
                convolution(graph, ("y", what), x, filter, 1);
            }
        };
        let mut plain = Graph::new();
        let input = placeholder(&mut plain, "x", photos(None));
        build(&mut plain, input);
        let mut casts = Graph::new();
        let unit = cast(&mut casts, "Mul", STEP);
        build(&mut casts, unit);
        let wanted = run(compile(&plain, None, &["y"], &PlanOptions::default()), 1, &widened(&x));
        for plan in [
            compile(&plain, None, &["y"], &given_as_bytes()),
            compile(&casts, None, &["y"], &PlanOptions::default()),
        ] {
            assert!(first_kernel(&plan).starts_with("widen_u8__"), "{}", first_kernel(&plan));
            assert_eq!(run(plan, 1, &x), wanted, "{what}");
        }
    }
}

#[test]
fn a_frozen_graph_still_takes_bytes() {
    let mut graph = Graph::new();
    let unit = cast(&mut graph, "Mul", STEP);
    small_on(&mut graph, unit);
    let frozen = freeze(&graph, &none, &[("x", photos(None))], &["probabilities"]).unwrap();
    let x = pixels(2);
    let outputs = ["probabilities"];
    let wanted = run(compile(&graph, None, &outputs, &PlanOptions::default()), 1, &x);
    let plan = compile(&frozen, None, &outputs, &PlanOptions::default());
    assert!(first_kernel(&plan).starts_with("conv2d of bytes: "), "{}", first_kernel(&plan));
    assert!(difference(&reals(&run(plan, 1, &x)[0]), &reals(&wanted[0])) < 1e-6);
}

#[test]
fn what_cannot_come_as_bytes_is_refused() {
    let graph = small();
    let refused_with = |graph: &Graph, bytes: &[(&str, f32)]| {
        let bytes = bytes.iter().map(|&(name, factor)| (name.to_owned(), factor)).collect();
        let options = PlanOptions { bytes, ..PlanOptions::default() };
        let inputs = [("x", photos(None))];
        Plan::compile(graph, &none, &inputs, &["probabilities"], &options).unwrap_err().kind()
    };
    let refused = |graph: &Graph, name: &str| refused_with(graph, &[(name, STEP)]);
    assert_eq!(refused(&graph, "slim"), ErrorKind::Input);
    assert_eq!(refused_with(&graph, &[("x", STEP), ("x", 1.0)]), ErrorKind::Input, "twice");
    assert_eq!(refused_with(&graph, &[("x", f32::NAN)]), ErrorKind::Input, "no number");
    assert_eq!(refused(&graph, "nowhere"), ErrorKind::NotFound);
    let mut casts = Graph::new();
    let unit = cast(&mut casts, "Mul", STEP);
    small_on(&mut casts, unit);
    assert_eq!(refused(&casts, "x"), ErrorKind::Input, "bytes already");
    let plan = compile(&graph, None, &OUTPUTS, &given_as_bytes());
    let mut session = Session::new(plan.into(), Pool::single().into());
    let error = session.call(&[&widened(&pixels(1))]).unwrap_err();
    assert_eq!(error.to_string(), "input 'x:0' is float32[1, 9, 9, 3], uint8[?,9,9,3] wanted");
}
