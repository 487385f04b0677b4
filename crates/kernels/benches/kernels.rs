//! Every kernel over the layers of the smallest network: pointwise and depthwise kernels by the
//! table, first convolution and classifier as dispatch picks them. With `--test` each runs once.
#![allow(missing_docs, clippy::expect_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mobilenet_kernels::family::{self, Layer};
use mobilenet_kernels::{
    Activation, Affine, Conv2d, Conv2dSpec, Depthwise, DepthwiseSpec, Isa, KERNELS, Pointwise,
    PointwiseSpec, Pool, Window,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// The layers of 0.25/192, each shape once.
fn layers() -> Vec<Layer> {
    let mut seen = BTreeSet::new();
    let layers = family::layers(25, 192, 1001);
    layers.into_iter().filter(|layer| seen.insert(format!("{layer:?}"))).collect()
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
        group.throughput(Throughput::Elements((rows * inputs * outputs) as u64));
        for kernel in KERNELS.iter().filter(|k| k.op() == "pointwise" && k.isa.is_available()) {
            let op = Pointwise::with_kernel_name(kernel.name, spec, &weights, None).expect("fits");
            let id = BenchmarkId::new(kernel.name, format!("{rows}x{inputs}x{outputs}"));
            group.bench_function(id, |bench| {
                bench.iter(|| op.run(&Pool::single(), rows, &input, &mut output));
            });
        }
    }
    group.finish();
}

fn depthwise(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("depthwise");
    for layer in layers() {
        let Layer::Separable { size, inputs, stride, .. } = layer else { continue };
        let window = Window::same([3, 3], [stride; 2], [1, 1], [size, size]);
        let input = [size, size, inputs];
        let activation = Activation::Relu6;
        let spec = DepthwiseSpec { input, multiplier: 1, window, activation };
        let image = vec![0.5; size * size * inputs];
        for isa in Isa::available() {
            let op = Depthwise::new(isa, spec, &vec![0.1; 9 * inputs], None).expect("fits");
            let mut output = vec![0.0; op.output().iter().product()];
            group.throughput(Throughput::Elements(9 * output.len() as u64));
            let id = BenchmarkId::new(op.kernel().name, format!("{size}x{size}x{inputs}/{stride}"));
            group.bench_function(id, |bench| {
                bench.iter(|| op.run(&Pool::single(), 1, &image, &mut output));
            });
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
        let image = vec![0.5; 192 * 192 * 3];
        for isa in Isa::available() {
            let op = Conv2d::new(isa, spec, &vec![0.1; 27 * outputs], None).expect("fits");
            let mut output = vec![0.0; op.output().iter().product()];
            let mut scratch = vec![0.0; op.scratch_len(1)];
            group.throughput(Throughput::Elements(27 * output.len() as u64));
            let id = BenchmarkId::new(op.kernel().name, outputs);
            group.bench_function(id, |bench| {
                bench.iter(|| op.run(&Pool::single(), 1, &image, &mut output, &mut scratch));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20);
    targets = pointwise, depthwise, first
}
criterion_main!(benches);
