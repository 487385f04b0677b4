//! The kernels of floats against the plainest loops; one thread against two, and a batch against a
//! single row, bit for bit.
//!
//! Tolerance: sums of `n` products in single precision may differ from the exact sum by a few
//! times `sqrt(n)` half units in the last place of the sum of magnitudes. Inputs and weights are
//! uniform in [-1, 1), so products average a quarter in magnitude: the bound is
//! `2e-6 * (1 + n / 4)`.

use super::{POOL, family_layers};
use mobilenet_kernels::{
    Activation, Affine, Conv2d, Conv2dSpec, Depthwise, DepthwiseSpec, Isa, KERNELS, Padding,
    Pointwise, PointwiseSpec, Pool, Separable, SeparableSpec, Window, reference,
};
use std::collections::BTreeSet;

/// Reproducible values in [-1, 1).
fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn assert_close(what: &str, terms: usize, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    // Products average a quarter in magnitude.
    let bound = 2e-6 * (1.0 + terms as f32 / 4.0);
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= bound, "{what}: value {index} is {a}, expected {e}");
    }
}

fn magnitudes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| x.abs()).collect()
}

fn check_pointwise(rows: usize, spec: PointwiseSpec) {
    let PointwiseSpec { inputs, outputs, activation } = spec;
    let (input, weights) = (values(1, rows * inputs), values(2, inputs * outputs));
    let bias = values(3, outputs);
    let expected = reference::pointwise([inputs, outputs], &input, &weights, &bias, activation);
    for kernel in KERNELS.iter().filter(|k| k.isa.is_available() && k.op() == "pointwise") {
        let op = Pointwise::with_kernel_name(kernel.name, spec, &weights, Some(&bias));
        let op = op.expect("fits");
        let what = format!("{} {rows} x {spec:?}", kernel.name);
        let run = |pool: &Pool| {
            let mut output = vec![f32::NAN; rows * outputs];
            op.run(pool, rows, &input, &mut output);
            output
        };
        let one = run(&Pool::single());
        assert_close(&what, inputs, &one, &expected);
        assert_eq!(one, run(&POOL), "{what}: two threads");
        if rows > 1 {
            let mut row = vec![f32::NAN; outputs];
            op.run(&Pool::single(), 1, &input[inputs..2 * inputs], &mut row);
            assert_eq!(row, one[outputs..2 * outputs], "{what}: a row alone");
        }
    }
}

fn check_depthwise(batch: usize, spec: DepthwiseSpec) {
    let [height, width, channels] = spec.input;
    let input = values(4, batch * height * width * channels);
    let [rows, columns, outputs] = spec.output().expect("fits");
    let taps = spec.window.kernel[0] * spec.window.kernel[1];
    let (weights, bias) = (values(5, taps * outputs), values(6, outputs));
    let expected = reference::depthwise(spec, &input, &weights, &bias).expect("fits");
    for isa in Isa::available() {
        let op = Depthwise::new(isa, spec, &weights, Some(&bias)).expect("fits");
        let what = format!("{} {batch} x {spec:?}", op.kernel().name);
        let run = |pool: &Pool| {
            let mut output = vec![f32::NAN; batch * rows * columns * outputs];
            op.run(pool, batch, &input, &mut output);
            output
        };
        let one = run(&Pool::single());
        assert_close(&what, taps, &one, &expected);
        assert_eq!(one, run(&POOL), "{what}: two threads");
    }
}

fn check_conv2d(batch: usize, spec: Conv2dSpec) {
    let input = values(7, batch * spec.input.iter().product::<usize>());
    let [rows, columns, outputs] = spec.output().expect("fits");
    let terms = spec.window.kernel[0] * spec.window.kernel[1] * spec.input[2];
    let (weights, bias) = (values(8, terms * outputs), values(9, outputs));
    let expected = reference::conv2d(spec, &input, &weights, &bias).expect("fits");
    for isa in Isa::available() {
        let op = Conv2d::new(isa, spec, &weights, Some(&bias)).expect("fits");
        let what = format!("{isa} {} {batch} x {spec:?}", op.kernel().name);
        let run = |pool: &Pool| {
            let mut output = vec![f32::NAN; batch * rows * columns * outputs];
            let mut scratch = vec![f32::NAN; op.scratch_len(pool.threads())];
            op.run(pool, batch, &input, &mut output, &mut scratch);
            output
        };
        let one = run(&Pool::single());
        assert_close(&what, 4 * terms, &one, &expected);
        assert_eq!(one, run(&POOL), "{what}: two threads");
        check_conv2d_of_bytes(&what, &op, batch);
    }
}

/// From bytes, the same bits as from the floats they stand for.
fn check_conv2d_of_bytes(what: &str, op: &Conv2d, batch: usize) {
    const FACTOR: f32 = 1.0 / 255.0;
    let len = batch * op.spec().input.iter().product::<usize>();
    let bytes: Vec<u8> = values(15, len).iter().map(|x| (x * 128.0 + 128.0) as u8).collect();
    let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * FACTOR).collect();
    let mut expected = vec![f32::NAN; batch * op.output().iter().product::<usize>()];
    let mut scratch = vec![f32::NAN; op.scratch_len(1)];
    op.run(&Pool::single(), batch, &floats, &mut expected, &mut scratch);
    for pool in [&Pool::single(), &*POOL] {
        let mut output = vec![f32::NAN; expected.len()];
        let mut scratch = vec![f32::NAN; op.bytes_scratch_len(pool.threads())];
        op.run_bytes(pool, batch, (&bytes, FACTOR), &mut output, &mut scratch);
        assert_eq!(output, expected, "{what}: bytes on {} threads", pool.threads());
    }
}

fn check_separable(batch: usize, spec: SeparableSpec) {
    let input = values(10, batch * spec.depthwise.input.iter().product::<usize>());
    let [rows, columns, channels] = spec.depthwise.output().expect("fits");
    let (dw, dw_bias) = (values(11, 9 * channels), values(12, channels));
    let (pw, pw_bias) = (values(13, channels * spec.outputs), values(14, spec.outputs));
    for isa in Isa::available() {
        let halves = ((&*dw, Some(&*dw_bias)), (&*pw, Some(&*pw_bias)));
        let op = Separable::new(isa, spec, halves.0, halves.1).expect("fits");
        let run = |pool: &Pool| {
            let mut output = vec![f32::NAN; batch * rows * columns * spec.outputs];
            let mut scratch = vec![f32::NAN; op.scratch_len(pool.threads())];
            op.run(pool, batch, &input, &mut output, &mut scratch);
            output
        };
        let mut middle = vec![f32::NAN; batch * rows * columns * channels];
        let mut expected = vec![f32::NAN; batch * rows * columns * spec.outputs];
        op.parts().0.run(&POOL, batch, &input, &mut middle);
        op.parts().1.run(&POOL, batch * rows * columns, &middle, &mut expected);
        let one = run(&Pool::single());
        assert_eq!(one, expected, "{isa} {batch} x {spec:?}: fused");
        assert_eq!(one, run(&POOL), "{isa} {batch} x {spec:?}: two threads");
    }
}

fn depthwise_spec(input: [usize; 3], stride: usize) -> DepthwiseSpec {
    let window = Window::same([3, 3], [stride; 2], [1, 1], [input[0], input[1]]);
    DepthwiseSpec { input, multiplier: 1, window, activation: Activation::Relu6 }
}

pub fn every_layer_of_the_family() {
    for layer in family_layers() {
        match layer[..] {
            [0, size, outputs] => check_conv2d(1, first_spec(size, size, outputs)),
            [1, size, inputs, outputs, stride] => {
                let depthwise = depthwise_spec([size, size, inputs], stride);
                check_depthwise(1, depthwise);
                let activation = Activation::Relu6;
                check_separable(1, SeparableSpec { depthwise, outputs, activation });
                // The product does not depend on where rows come from: a slice of them will do.
                let rows = size.div_ceil(stride).pow(2).min(500_000 / inputs / outputs * 8 + 37);
                check_pointwise(rows, PointwiseSpec { inputs, outputs, activation });
            }
            [_, inputs, outputs] => {
                for rows in [1, 2, 33] {
                    let activation = Activation::None;
                    check_pointwise(rows, PointwiseSpec { inputs, outputs, activation });
                }
            }
            _ => unreachable!(),
        }
    }
}

fn first_spec(height: usize, width: usize, outputs: usize) -> Conv2dSpec {
    Conv2dSpec {
        input: [height, width, 3],
        outputs,
        window: Window::same([3, 3], [2, 2], [1, 1], [height, width]),
        affine: Some(Affine { scale: 2.0, offset: -1.0 }),
        activation: Activation::Relu6,
    }
}

pub fn pointwise_around_every_tile() {
    let sizes = |tile: usize| BTreeSet::from([1, tile - 1, tile, tile + 1, 2 * tile + 3]);
    let mut done = BTreeSet::new();
    for kernel in KERNELS.iter().filter(|kernel| kernel.op() == "pointwise") {
        for rows in sizes(kernel.tile[0]) {
            for outputs in sizes(kernel.tile[1]) {
                for inputs in [1, 3, 8, 17] {
                    if rows * outputs > 0 && done.insert((rows, outputs, inputs)) {
                        let activation = Activation::Relu;
                        check_pointwise(rows, PointwiseSpec { inputs, outputs, activation });
                    }
                }
            }
        }
    }
}

pub fn pointwise_corners() {
    check_pointwise(0, PointwiseSpec { inputs: 4, outputs: 5, activation: Activation::None });
    let spec = PointwiseSpec { inputs: 3, outputs: 2, activation: Activation::Relu6 };
    for isa in Isa::available() {
        let op = Pointwise::new(isa, spec, &[1.0; 6], None).expect("fits");
        let mut output = [0.0; 4];
        op.run(&Pool::single(), 2, &[f32::NAN, 0.0, 0.0, 9.0, 9.0, 9.0], &mut output);
        assert!(output[0].is_nan() && output[1].is_nan(), "{isa}: NaN stays NaN");
        assert_eq!(output[2..], [6.0, 6.0]);
        assert!(Pointwise::new(isa, spec, &[1.0; 5], None).is_err());
        assert!(Pointwise::new(isa, spec, &[1.0; 6], Some(&[1.0])).is_err());
    }
}

pub fn depthwise_odd_shapes() {
    for channels in [1, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 100] {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (5, 4), (7, 6), (8, 13)] {
            for stride in [1, 2, 3] {
                check_depthwise(2, depthwise_spec([height, width, channels], stride));
            }
        }
    }
}

pub fn depthwise_any_geometry() {
    let activation = Activation::None;
    for (kernel, stride, dilation) in
        [([5, 5], [1, 1], [1, 1]), ([3, 3], [1, 1], [2, 2]), ([1, 4], [2, 1], [1, 3])]
    {
        for multiplier in [1, 2, 3] {
            for input in [[9, 8, 5], [6, 11, 16], [10, 10, 33]] {
                let same = Window::same(kernel, stride, dilation, [input[0], input[1]]);
                let padding = Padding { top: 0, bottom: 2, left: 1, right: 0 };
                let odd = Window { padding, ..Window::valid([3, 3], stride, [1, 1]) };
                for window in [same, Window::valid(kernel, stride, dilation), odd] {
                    check_depthwise(2, DepthwiseSpec { input, multiplier, window, activation });
                }
            }
        }
    }
}

pub fn conv2d_any_geometry() {
    for (input, outputs) in [([9, 8, 3], 8), ([7, 11, 5], 17), ([12, 12, 16], 3), ([4, 4, 1], 1)] {
        for (kernel, stride, dilation) in [
            ([3, 3], [1, 1], [1, 1]),
            ([3, 3], [2, 2], [1, 1]),
            ([1, 1], [2, 2], [1, 1]),
            ([1, 1], [1, 1], [1, 1]),
            ([2, 4], [1, 2], [2, 1]),
        ] {
            for affine in [None, Some(Affine { scale: 2.0, offset: -1.0 })] {
                for same in [true, false] {
                    let window = if same {
                        Window::same(kernel, stride, dilation, [input[0], input[1]])
                    } else {
                        Window::valid(kernel, stride, dilation)
                    };
                    let activation = Activation::Relu;
                    check_conv2d(2, Conv2dSpec { input, outputs, window, affine, activation });
                }
            }
        }
    }
}

pub fn first_convolution_odd_shapes() {
    for outputs in [1, 7, 8, 9, 16, 24, 32] {
        for (height, width) in [(1, 1), (2, 3), (5, 2), (9, 9), (10, 33), (11, 34), (8, 67)] {
            check_conv2d(2, first_spec(height, width, outputs));
        }
    }
    // So wide that strips of bytes are one row, fewer than a task has; and two, of three.
    check_conv2d(2, first_spec(70, 700, 8));
    check_conv2d(1, first_spec(80, 500, 16));
}

pub fn magnitudes_are_as_assumed() {
    let products: f32 = magnitudes(&values(1, 4096))
        .iter()
        .zip(magnitudes(&values(2, 4096)))
        .map(|(a, b)| a * b)
        .sum();
    assert!((products / 4096.0 - 0.25).abs() < 0.02, "{products}");
}
