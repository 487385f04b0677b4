//! Rounding in floats holds against TensorFlow 2.15 bit for bit: which value is nearest, where the
//! ends of a range go so that 0 is a value, and which slopes pass.
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
    Attributes, ErrorKind, Graph, NodeId, Plan, PlanOptions, Pool, Session, Shape, TensorId,
    differentiate,
};
use mobilenet_formats::{DType, Tensor};
use support::network::{constant, noise, none, op, placeholder};

/// Values below, at, between and above the ends.
const X: [f32; 15] =
    [-7.3, -1.0, -0.501, -0.1, -0.0, 0.0, 0.0117, 0.012, 0.3, 1.0, 2.4999, 5.99, 6.0, 6.1, 100.0];

/// A range and what TensorFlow makes of [`X`]: the values' bits, those whose slopes pass as a
/// string of digits, and the slopes of the ends for slopes of 0.25, 0.5, 0.75, … .
struct Case {
    ends: (f32, f32),
    bits: i64,
    narrow: bool,
    y: [u32; 15],
    passes: &'static str,
    slopes: (f32, f32),
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case {
        ends: (0.0, 6.0), bits: 8, narrow: false,
        y: [0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x3cc0c0c1,
            0x3e9c9c9d, 0x3f818182, 0x401f9fa0, 0x40c00000, 0x40c00000, 0x40c00000, 0x40c00000],
        passes: "000011111111100", slopes: (2.5, 7.25),
    },
    Case {
        ends: (-1.0, 1.0), bits: 8, narrow: false,
        y: [0xbf7eff00, 0xbf7eff00, 0xbf008081, 0xbdd0d0d2, 0x00000000, 0x00000000, 0x3c008081, 0x3c808081,
            0x3e989899, 0x3f808081, 0x3f808081, 0x3f808081, 0x3f808081, 0x3f808081, 0x3f808081],
        passes: "001111111100000", slopes: (0.75, 16.25),
    },
    Case {
        ends: (-1.0, 1.0), bits: 8, narrow: true,
        y: [0xbf800000, 0xbf800000, 0xbf010204, 0xbdd1a346, 0x00000000, 0x00000000, 0x3c010204, 0x3c810204,
            0x3e993265, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000],
        passes: "011111111100000", slopes: (0.25, 16.25),
    },
    Case {
        ends: (-0.13, 2.47), bits: 8, narrow: false,
        y: [0xbe07baed, 0xbe07baed, 0xbe07baed, 0xbdd0d0d0, 0x00000000, 0x00000000, 0x3c270d73, 0x3c270d73,
            0x3e976430, 0x3f7fcc98, 0x401deab7, 0x401deab7, 0x401deab7, 0x401deab7, 0x401deab7],
        passes: "000111111100000", slopes: (1.5, 16.25),
    },
    Case {
        ends: (0.5, 3.0), bits: 8, narrow: false,
        y: [0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x3c20a0a1, 0x3c20a0a1,
            0x3e9b9b9c, 0x3f800000, 0x40200000, 0x40200000, 0x40200000, 0x40200000, 0x40200000],
        passes: "000011111110000", slopes: (2.5, 13.5),
    },
    Case {
        ends: (-3.0, -1.0), bits: 8, narrow: false,
        y: [0xc0000000, 0xbf808081, 0xbf008081, 0xbdd0d0d2, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
            0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000],
        passes: "011111000000000", slopes: (0.25, 24.75),
    },
    Case {
        ends: (-0.7, 5.3), bits: 4, narrow: false,
        y: [0xbf4ccccd, 0xbf4ccccd, 0xbecccccd, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
            0x3ecccccd, 0x3f99999a, 0x4019999a, 0x40a66667, 0x40a66667, 0x40a66667, 0x40a66667],
        passes: "001111111110000", slopes: (0.75, 13.5),
    },
    Case {
        ends: (-2.0, 2.0), bits: 16, narrow: true,
        y: [0xc0000000, 0xbf7ffe00, 0xbf004100, 0xbdccc19a, 0x00000000, 0x00000000, 0x3c400180, 0x3c45018a,
            0x3e999933, 0x3f800100, 0x40000000, 0x40000000, 0x40000000, 0x40000000, 0x40000000],
        passes: "011111111100000", slopes: (0.25, 16.25),
    },
    Case {
        ends: (0.0, 0.0), bits: 8, narrow: false, y: [0; 15],
        passes: "111111111111111", slopes: (0.0, 0.0),
    },
];

fn attributes(bits: i64, narrow: bool) -> Attributes {
    Attributes::new().with_int("num_bits", bits).with_bool("narrow_range", narrow)
}

/// `outputs` by a plan of two threads, of a graph without feeds.
fn run(graph: &Graph, outputs: &[&str]) -> Vec<Tensor> {
    let plan = Plan::compile(graph, &none, &[], outputs, &PlanOptions::default()).unwrap();
    Session::new(Arc::new(plan), Arc::new(Pool::new(2))).call(&[]).unwrap()
}

fn floats(tensor: &Tensor) -> &[f32] {
    tensor.as_f32().unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Constants that a plan does not fold: what they are made of is not constant.
fn fed(graph: &mut Graph, name: &str, shape: &[usize]) -> NodeId {
    placeholder(graph, name, Shape::known(shape))
}

/// Forward and gradient of one op, with everything fed, by a plan and by the interpreter.
fn both_ways(
    op: &str,
    attributes: &Attributes,
    shape: &[usize],
    x: &[f32],
    dy: &[f32],
    ends: &[Tensor],
) -> Vec<Tensor> {
    let mut graph = Graph::new();
    let mut nodes = vec![fed(&mut graph, "dy", shape), fed(&mut graph, "x", shape)];
    let mut names = vec!["dy", "x"];
    for (end, name) in ends.iter().zip(["min", "max"]) {
        nodes.push(fed(&mut graph, name, end.shape()));
        names.push(name);
    }
    let inputs: Vec<TensorId> = nodes.iter().map(|&node| node.into()).collect();
    graph.add("y", op, attributes.clone(), &inputs[1..]).unwrap();
    graph.add("slopes", &format!("{op}Gradient"), attributes.clone(), &inputs).unwrap();
    let outputs = &["y", "slopes:0", "slopes:1", "slopes:2"][..2 + ends.len()];
    let mut values = vec![Tensor::new(shape, dy.to_vec()).unwrap()];
    values.push(Tensor::new(shape, x.to_vec()).unwrap());
    values.extend(ends.iter().cloned());
    let shapes: Vec<(&str, Shape)> = names
        .iter()
        .zip(&values)
        .map(|(&name, value)| (name, Shape::known(value.shape())))
        .collect();
    let given: Vec<&Tensor> = values.iter().collect();
    let mut found: Option<Vec<Tensor>> = None;
    for threads in [1, 3] {
        let options = PlanOptions { threads, ..PlanOptions::default() };
        let plan = Plan::compile(&graph, &none, &shapes, outputs, &options).unwrap();
        let results = Session::new(Arc::new(plan), Arc::new(Pool::new(threads))).call(&given);
        let results = results.unwrap();
        if let Some(found) = &found {
            let same = found.iter().zip(&results).all(|(a, b)| bits(floats(a)) == bits(floats(b)));
            assert!(same, "{op} depends on the number of threads");
        }
        found = Some(results);
    }
    let found = found.unwrap();
    let fed: Vec<(&str, &Tensor)> = names.iter().copied().zip(given).collect();
    let plain = interpret(&graph, &none, &fed, outputs).unwrap();
    for ((name, fast), plain) in outputs.iter().zip(&found).zip(&plain) {
        // Sums of thousands of slopes are of other order and precision.
        let tolerance = if ["slopes:1", "slopes:2"].contains(name) { 1e-4 } else { 0.0 };
        for (fast, plain) in floats(fast).iter().zip(plain.as_f64().unwrap()) {
            let off = (f64::from(*fast) - plain).abs();
            let near = off <= tolerance * plain.abs().max(1.0) || fast.is_nan() && plain.is_nan();
            assert!(near, "{op} {name}: {fast} for {plain}");
        }
    }
    found
}

#[test]
fn values_and_slopes_are_tensorflows_bit_for_bit() {
    let dy: Vec<f32> = (1..=15).map(|i| i as f32 / 4.0).collect();
    for case in CASES {
        let ends = [case.ends.0, case.ends.1].map(|end| Tensor::new([], vec![end]).unwrap());
        let attributes = attributes(case.bits, case.narrow);
        let op = "FakeQuantWithMinMaxVars";
        let found = both_ways(op, &attributes, &[15], &X, &dy, &ends);
        assert_eq!(bits(floats(&found[0])), case.y, "{:?}", case.ends);
        let passes = case.passes.chars().map(|digit| f32::from(u8::from(digit == '1')));
        let slopes: Vec<f32> = dy.iter().zip(passes).map(|(dy, passes)| dy * passes).collect();
        assert_eq!(floats(&found[1]), slopes, "{:?}", case.ends);
        let of_ends = (floats(&found[2])[0], floats(&found[3])[0]);
        assert_eq!(of_ends, case.slopes, "{:?}", case.ends);
        if case.ends == (0.0, 0.0) {
            continue;
        }
        let (min, max) = case.ends;
        let attributes = attributes.with_float("min", min).with_float("max", max);
        let found = both_ways("FakeQuantWithMinMaxArgs", &attributes, &[15], &X, &dy, &[]);
        assert_eq!(bits(floats(&found[0])), case.y, "{:?}", case.ends);
        assert_eq!(floats(&found[1]), slopes, "{:?}", case.ends);
    }
}

#[test]
fn every_channel_has_its_own_range() {
    let x: Vec<f32> = (0..12).map(|i| -2.0 + 4.0 * i as f32 / 11.0).collect();
    let ends = [[-1.0f32, 0.0, -0.5], [1.0, 1.3, 2.0]];
    let ends = ends.map(|values| Tensor::new([3], values.to_vec()).unwrap());
    let op = "FakeQuantWithMinMaxVarsPerChannel";
    let found = both_ways(op, &Attributes::new(), &[4, 3], &x, &[1.0; 12], &ends);
    let wanted: [u32; 12] = [
        3212771072, 0, 3204448256, 3211323626, 0, 3191783103, 1043904697, 1057727806, 1063872874,
        1065386113, 1067869798, 1073741824,
    ];
    assert_eq!(bits(floats(&found[0])), wanted);
    assert_eq!(floats(&found[2]), [1.0, 2.0, 1.0]);
    assert_eq!(floats(&found[3]), [1.0, 1.0, 0.0]);
}

/// NaN stays NaN, and its slope goes nowhere; between ends that are 0 it is 0, and its slope passes.
#[test]
fn what_is_no_number_is_rounded_as_tensorflow_rounds_it() {
    let (x, dy) = ([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.4], [0.25, 0.5, 0.75, 1.0]);
    let scalar = |end: f32| Tensor::new([], vec![end]).unwrap();
    let vars = "FakeQuantWithMinMaxVars";
    let found = both_ways(vars, &Attributes::new(), &[4], &x, &dy, &[-1.0, 1.0].map(scalar));
    let [y, slopes] = [0, 1].map(|output| floats(&found[output]).to_vec());
    assert!(y[0].is_nan());
    assert_eq!(bits(&y[1..]), [0x3f80_8081, 0xbf7e_ff00, 0x3ecc_ccce]);
    assert_eq!(slopes, [0.0, 0.0, 0.0, 1.0]);
    let found = both_ways(vars, &Attributes::new(), &[4], &x, &dy, &[0.0, 0.0].map(scalar));
    assert_eq!(bits(floats(&found[0])), [0; 4]);
    assert_eq!(floats(&found[1]), dy);
    // One channel of two without a range.
    let ends = [[-1.0f32, 0.0], [1.0, 0.0]].map(|end| Tensor::vector(end.to_vec()));
    let channels = "FakeQuantWithMinMaxVarsPerChannel";
    let (x, dy) = ([f32::NAN, f32::NAN, 7.0, f32::INFINITY], [0.25, 0.5, 0.75, 1.0]);
    let found = both_ways(channels, &Attributes::new(), &[2, 2], &x, &dy, &ends);
    let y = floats(&found[0]);
    assert!(y[0].is_nan());
    assert_eq!(bits(&y[1..]), [0, 0x3f80_8081, 0]);
    assert_eq!(floats(&found[1]), [0.0, 0.5, 0.0, 1.0]);
}

#[test]
fn large_tensors_are_rounded_in_blocks_as_small_ones() {
    for (shape, channels) in [(&[3, 60, 61, 5][..], 5), (&[7, 5003][..], 5003)] {
        let count = shape.iter().product();
        let (x, dy) = (noise(1, count), noise(2, count));
        let max: Vec<f32> = noise(3, channels).iter().map(|v| v.abs()).collect();
        let min = max.iter().map(|max| -0.7 * max).collect();
        let ends = [min, max].map(|values: Vec<f32>| Tensor::new([channels], values).unwrap());
        let op = "FakeQuantWithMinMaxVarsPerChannel";
        both_ways(op, &attributes(8, true), shape, &x, &dy, &ends);
        let ends = [-0.3f32, 0.6].map(|end| Tensor::new([], vec![end]).unwrap());
        both_ways("FakeQuantWithMinMaxVars", &attributes(8, false), shape, &x, &dy, &ends);
    }
}

#[test]
fn a_loss_slopes_back_to_values_and_to_the_ends() {
    let loss_at = |max: f32| {
        let mut graph = Graph::new();
        let g = &mut graph;
        let x = constant(g, "x", &[15], X.to_vec());
        let [min, max] = [("min", 0.0), ("max", max)].map(|(name, end)| {
            let node = constant(g, name, &[], vec![end]);
            op(g, &format!("{name}/read"), "Identity", &[node])
        });
        let y = op(g, "y", "FakeQuantWithMinMaxVars", &[x, min, max]);
        op(g, "loss", "L2Loss", &[y]);
        graph
    };
    let mut graph = loss_at(5.0);
    let slopes = differentiate(&mut graph, "loss", &["x", "max/read"]).unwrap();
    let names: Vec<String> = slopes.iter().map(|id| graph.tensor_name(id.unwrap())).collect();
    let found = run(&graph, &[&names[0], &names[1], "y"]);
    let passes = X.map(|x| (0.0..=5.0).contains(&x));
    for ((slope, y), passes) in floats(&found[0]).iter().zip(floats(&found[2])).zip(passes) {
        assert_eq!(*slope, if passes { *y } else { 0.0 });
    }
    // By the end, only what it cuts off counts; what is in range moves in steps, which rounding
    // passes over. Four values are cut off.
    let [less, more] = [4.99f32, 5.01].map(|max| {
        let values = run(&loss_at(max), &["y"]);
        floats(&values[0]).iter().filter(|y| **y == max).map(|y| y * y / 2.0).sum::<f32>()
    });
    let difference = (more - less) / 0.02;
    let slope = floats(&found[1])[0];
    assert!((slope - difference).abs() < 0.02 && (slope - 20.0).abs() < 1e-4, "{slope}");
}

#[test]
fn what_cannot_be_rounded_is_refused() {
    let try_with = |op: &str, attributes: Attributes, ends: &[&[usize]]| {
        let mut graph = Graph::new();
        let mut inputs: Vec<TensorId> = vec![fed(&mut graph, "x", &[2, 3]).into()];
        for (end, name) in ends.iter().zip(["min", "max"]) {
            inputs.push(fed(&mut graph, name, end).into());
        }
        graph.add("y", op, attributes, &inputs).map(|_| ())
    };
    let plain = Attributes::new;
    let (vars, channels) = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel");
    assert!(try_with(vars, plain(), &[&[], &[]]).is_ok());
    assert!(try_with(channels, plain(), &[&[3], &[3]]).is_ok());
    for (op, attributes, ends, kind) in [
        (vars, plain().with_int("num_bits", 1), [&[][..], &[]], ErrorKind::InvalidGraph),
        (vars, plain().with_int("num_bits", 17), [&[], &[]], ErrorKind::InvalidGraph),
        (vars, plain().with_int("num_bits", i64::MIN), [&[], &[]], ErrorKind::InvalidGraph),
        (vars, plain(), [&[3], &[]], ErrorKind::Shape),
        (channels, plain(), [&[2], &[2]], ErrorKind::Shape),
        (channels, plain(), [&[3], &[1, 3]], ErrorKind::Shape),
    ] {
        assert_eq!(try_with(op, attributes, &ends).unwrap_err().kind(), kind, "{op} {ends:?}");
    }
    for (min, max) in [(1.0, 1.0), (2.0, 1.0), (f32::NAN, 1.0), (0.0, f32::INFINITY)] {
        let attributes = plain().with_float("min", min).with_float("max", max);
        let error = try_with("FakeQuantWithMinMaxArgs", attributes, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidGraph);
    }
    // Ends in the wrong order, or not numbers, are TensorFlow's nonsense, not a crash.
    for ends in [[2.0, 1.0], [f32::NAN, 1.0], [f32::INFINITY, f32::INFINITY], [1e-45, 0.0]] {
        let mut graph = Graph::new();
        let x = placeholder(&mut graph, "x", Shape::known(&[15]));
        let [min, max] = [("min", ends[0]), ("max", ends[1])]
            .map(|(name, end)| constant(&mut graph, name, &[], vec![end]));
        op(&mut graph, "y", vars, &[x, min, max]);
        let shapes = [("x", Shape::known(&[15]))];
        let plan = Plan::compile(&graph, &none, &shapes, &["y"], &PlanOptions::default()).unwrap();
        let x = Tensor::new([15], X.to_vec()).unwrap();
        let y = Session::new(Arc::new(plan), Arc::new(Pool::single())).call(&[&x]).unwrap();
        assert_eq!(y[0].shape(), [15]);
    }
    let mut graph = Graph::new();
    let whole = Attributes::new().with_dtype("dtype", DType::I32);
    let x = graph.add("x", "Placeholder", whole, &[]).unwrap();
    let error = graph.add("y", "FakeQuantWithMinMaxArgs", plain(), &[x.into()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
}
