//! Every kernel over the layers of the smallest network: pointwise kernels by the table, all others
//! as dispatch picks them for each instruction set. With `--test` each runs once.
#![allow(missing_docs, clippy::expect_used)]

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use mobilenet_kernels::family::{self, Layer};
use mobilenet_kernels::gradients::{
    BatchNormGradient, BatchNormGradientScratch, BatchNormSlopes, DepthwiseFilterGradient,
    FilterGradient, conv2d_input_gradient, depthwise_input_gradient,
};
use mobilenet_kernels::{
    Activation, Affine, Choice, Conv2d, Conv2dSpec, Depthwise, DepthwiseSpec, Isa, KERNELS,
    Pointwise, PointwiseSpec, Pool, SeparableSpec, Trial, Tunable, Window, int8,
};
use std::collections::BTreeSet;
use std::time::Duration;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// The layers of 0.25/192, each shape once.
fn layers() -> Vec<Layer> {
    let mut seen = BTreeSet::new();
    let layers = family::layers(25, 192, 1001);
    layers.into_iter().filter(|layer| seen.insert(format!("{layer:?}"))).collect()
}

/// The separable ones.
fn separable_layers() -> impl Iterator<Item = SeparableSpec> {
    layers().into_iter().filter_map(|layer| match layer.tunable() {
        Some(Tunable::Separable(spec)) => Some(spec),
        _ => None,
    })
}

/// Times `run`, which does so many multiply-adds.
fn time(group: &mut Group, (kernel, shape): (&str, &str), work: usize, mut run: impl FnMut()) {
    group.throughput(Throughput::Elements(work as u64));
    group.bench_function(BenchmarkId::new(kernel, shape), |bench| bench.iter(&mut run));
}

fn pointwise(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("pointwise");
    for layer in layers() {
        let (rows, inputs, outputs) = match layer {
            Layer::Separable { size, inputs, outputs, stride } => {
                (size.div_ceil(stride).pow(2), inputs, outputs)
            }
            Layer::Logits { inputs, outputs } => (1, inputs, outputs),
            _ => continue,
        };
        let spec = PointwiseSpec { inputs, outputs, activation: Activation::Relu6 };
        let (input, weights) = (vec![0.5; rows * inputs], vec![0.01; inputs * outputs]);
        let mut output = vec![0.0; rows * outputs];
        let shape = format!("{rows}x{inputs}x{outputs}");
        for kernel in KERNELS.iter().filter(|k| k.op() == "pointwise" && k.isa.is_available()) {
            let op = Pointwise::with_kernel_name(kernel.name, spec, &weights, None).expect("fits");
            time(&mut group, (kernel.name, &shape), rows * inputs * outputs, || {
                op.run(&Pool::single(), rows, &input, &mut output);
            });
        }
    }
    group.finish();
}

/// Its shape in few characters.
fn shape(spec: &DepthwiseSpec) -> String {
    let [height, width, channels] = spec.input;
    format!("{height}x{width}x{channels}/{}", spec.window.stride[0])
}

fn depthwise(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("depthwise");
    for SeparableSpec { depthwise: spec, .. } in separable_layers() {
        let image = vec![0.5; spec.input.iter().product()];
        for isa in Isa::available() {
            let op = Depthwise::new(isa, spec, &vec![0.1; 9 * spec.input[2]], None).expect("fits");
            let mut output = vec![0.0; op.output().iter().product()];
            time(&mut group, (op.kernel().name, &shape(&spec)), 9 * output.len(), || {
                op.run(&Pool::single(), 1, &image, &mut output);
            });
        }
    }
    group.finish();
}

fn separable(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("separable");
    for spec in separable_layers() {
        let op = Tunable::Separable(spec);
        for isa in Isa::available() {
            let mut trial = Trial::new(isa, &op, Choice::default(), 1).expect("a layer");
            let work = op.multiply_adds().expect("a layer");
            time(&mut group, (isa.name(), &op.to_string()), work, || trial.run(&Pool::single()));
        }
    }
    group.finish();
}

fn first(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("first");
    let window = Window::same([3, 3], [2, 2], [1, 1], [192, 192]);
    let affine = Some(Affine { scale: 2.0, offset: -1.0 });
    for outputs in [8, 16, 24, 32] {
        let activation = Activation::Relu6;
        let spec = Conv2dSpec { input: [192, 192, 3], outputs, window, affine, activation };
        let (image, bytes) = (vec![0.5; 192 * 192 * 3], vec![128; 192 * 192 * 3]);
        for isa in Isa::available() {
            let op = Conv2d::new(isa, spec, &vec![0.1; 27 * outputs], None).expect("fits");
            let mut output = vec![0.0; op.output().iter().product()];
            let mut scratch = vec![0.0; op.scratch_len(1)];
            let names = (op.kernel().name, &*outputs.to_string());
            time(&mut group, names, 27 * output.len(), || {
                op.run(&Pool::single(), 1, &image, &mut output, &mut scratch);
            });
            let mut scratch = vec![0.0; op.bytes_scratch_len(1)];
            let names = (&*format!("{}_of_bytes", op.kernel().name), names.1);
            time(&mut group, names, 27 * output.len(), || {
                let pixels = (&*bytes, 1.0 / 255.0);
                op.run_bytes(&Pool::single(), 1, pixels, &mut output, &mut scratch);
            });
        }
    }
    group.finish();
}

/// What training runs backwards: the slopes of input and filter of both halves of the separable
/// layers, of the filter of the first convolution, and of batch norms.
fn gradients(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("gradients");
    for isa in Isa::available() {
        let mut norms = BTreeSet::new();
        for layer in layers() {
            match layer.tunable() {
                Some(Tunable::Conv2d(spec)) => {
                    conv2d_filter(&mut group, isa, Conv2dSpec { affine: None, ..spec });
                }
                Some(Tunable::Separable(SeparableSpec { depthwise: spec, outputs, .. })) => {
                    depthwise_slopes(&mut group, isa, spec);
                    let window = Window::valid([1, 1], [1, 1], [1, 1]);
                    let input = spec.output().expect("a layer");
                    let activation = Activation::None;
                    let spec = Conv2dSpec { input, outputs, window, affine: None, activation };
                    conv2d_filter(&mut group, isa, spec);
                    conv2d_input(&mut group, isa, spec);
                    norms.insert([input[0] * input[1], outputs]);
                }
                _ => {}
            }
        }
        norms.into_iter().for_each(|shape| batch_norm(&mut group, isa, shape));
    }
    group.finish();
}

fn conv2d_filter(group: &mut Group, isa: Isa, spec: Conv2dSpec) {
    let op = FilterGradient::new(isa, spec).expect("fits");
    let input = vec![0.5; spec.input.iter().product()];
    let dy = vec![0.1; spec.output().expect("fits").iter().product()];
    let (mut filter, mut scratch) = (vec![0.0; op.filter_len()], vec![0.0; op.scratch_len(1)]);
    let shape = Tunable::Conv2d(spec).to_string();
    let work = dy.len() / spec.outputs * filter.len();
    time(group, (&format!("filter_{isa}"), &shape), work, || {
        op.run(&Pool::single(), 1, &input, &dy, &mut filter, &mut scratch);
    });
}

fn conv2d_input(group: &mut Group, isa: Isa, spec: Conv2dSpec) {
    let filter = vec![0.01; spec.input[2] * spec.outputs];
    let dy = vec![0.1; spec.output().expect("fits").iter().product()];
    let mut dx = vec![0.0; spec.input.iter().product()];
    let shape = Tunable::Conv2d(spec).to_string();
    time(group, (&format!("input_{isa}"), &shape), dx.len() * spec.outputs, || {
        conv2d_input_gradient(isa, &Pool::single(), spec, &filter, &dy, &mut dx).expect("fits");
    });
}

fn depthwise_slopes(group: &mut Group, isa: Isa, spec: DepthwiseSpec) {
    let op = DepthwiseFilterGradient::new(isa, spec).expect("fits");
    let input = vec![0.5; spec.input.iter().product()];
    let dy = vec![0.1; spec.output().expect("fits").iter().product()];
    let (mut filter, mut scratch) = (vec![0.0; op.filter_len()], vec![0.0; op.scratch_len(1)]);
    let (shape, work) = (Tunable::Depthwise(spec).to_string(), 9 * dy.len());
    time(group, (&format!("filter_{isa}"), &shape), work, || {
        op.run(&Pool::single(), 1, &input, &dy, &mut filter, &mut scratch);
    });
    let mut dx = vec![0.0; input.len()];
    time(group, (&format!("input_{isa}"), &shape), work, || {
        depthwise_input_gradient(isa, &Pool::single(), spec, &filter, &dy, &mut dx).expect("fits");
    });
}

fn batch_norm(group: &mut Group, isa: Isa, [rows, channels]: [usize; 2]) {
    let (ones, beta) = (vec![1.0; channels], vec![0.1; channels]);
    let op = BatchNormGradient {
        mean: &beta,
        inverse_deviation: &ones,
        factor: &ones,
        beta: &beta,
        activation: Activation::Relu6,
        of_batch: true,
    };
    let (x, dy) = (vec![0.5; rows * channels], vec![0.1; rows * channels]);
    let mut dx = vec![0.0; x.len()];
    let [sums, factors] = BatchNormGradient::scratch_len(rows, channels);
    let (mut sums, mut factors) = (vec![0.0; sums], vec![0.0; factors]);
    let (mut gamma, mut shift) = (vec![0.0; channels], vec![0.0; channels]);
    let names = (&*format!("batch_norm_{isa}"), &*format!("{rows}x{channels}"));
    time(group, names, x.len(), || {
        let mut slopes = BatchNormSlopes { gamma: &mut gamma, beta: &mut shift };
        let scratch = BatchNormGradientScratch { sums: &mut sums, factors: &mut factors };
        op.run(isa, &Pool::single(), &x, &dy, &mut dx, &mut slopes, scratch).expect("fits");
    });
}

/// The layers on bytes.
fn bytes(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("int8");
    for isa in Isa::available() {
        for layer in layers() {
            match layer.tunable() {
                Some(Tunable::Conv2d(Conv2dSpec { input, outputs, window, .. })) => {
                    conv2d_bytes(&mut group, isa, (input, outputs, window));
                }
                Some(Tunable::Separable(SeparableSpec { depthwise: spec, outputs, .. })) => {
                    depthwise_bytes(&mut group, isa, &spec);
                    let window = Window::valid([1, 1], [1, 1], [1, 1]);
                    let input = spec.output().expect("a layer");
                    conv2d_bytes(&mut group, isa, (input, outputs, window));
                }
                Some(Tunable::Pointwise(PointwiseSpec { inputs, outputs, .. }, rows)) => {
                    let window = Window::valid([1, 1], [1, 1], [1, 1]);
                    conv2d_bytes(&mut group, isa, ([1, rows, inputs], outputs, window));
                }
                _ => {}
            }
        }
    }
    group.finish();
}

/// One multiplier for all outputs, relu6.
fn rescale(multiplier: &[int8::Multiplier; 1]) -> int8::Rescale<'_> {
    int8::Rescale { multipliers: multiplier, zero_point: 0, range: [0, 255] }
}

fn conv2d_bytes(
    group: &mut Group,
    isa: Isa,
    (input, outputs, window): ([usize; 3], usize, Window),
) {
    let spec = int8::Conv2dSpec { input, outputs, window, zero_point: 0 };
    let patch = window.kernel.iter().product::<usize>() * input[2];
    let (weights, multiplier) = (vec![3; patch * outputs], [factor()]);
    let weights = int8::Weights::symmetric(&weights);
    let op = int8::Conv2d::new(isa, spec, weights, None, rescale(&multiplier)).expect("fits");
    let image = vec![100; input.iter().product()];
    let mut output = vec![0; op.output().iter().product()];
    let mut scratch = vec![0; op.scratch_len(1)];
    let [height, width, channels] = input;
    let shape = format!("{height}x{width}x{channels}->{outputs}");
    time(group, (op.kernel().name, &shape), patch * output.len(), || {
        op.run(&Pool::single(), 1, &image, &mut output, &mut scratch);
    });
}

fn depthwise_bytes(group: &mut Group, isa: Isa, like: &DepthwiseSpec) {
    let DepthwiseSpec { input, multiplier, window, .. } = *like;
    let spec = int8::DepthwiseSpec { input, multiplier, window, zero_point: 0 };
    let (weights, multiplier) = (vec![3; 9 * input[2]], [factor()]);
    let weights = int8::Weights::symmetric(&weights);
    let op = int8::Depthwise::new(isa, spec, weights, None, rescale(&multiplier)).expect("fits");
    let image = vec![100; input.iter().product()];
    let mut output = vec![0; op.output().iter().product()];
    let mut scratch = vec![0; op.scratch_len(1)];
    time(group, (op.kernel().name, &shape(like)), 9 * output.len(), || {
        op.run(&Pool::single(), 1, &image, &mut output, &mut scratch);
    });
}

fn factor() -> int8::Multiplier {
    int8::Multiplier::new(0.003).expect("a factor")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20);
    targets = pointwise, depthwise, separable, first, gradients, bytes
}
criterion_main!(benches);
