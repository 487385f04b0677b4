//! Times every layer of one MobileNet V1 in 8 bits and the whole network made of the kernels
//! alone, beside the measured peak of the core:
//!
//!     cargo run --release -p mobilenet-kernels --example layers_int8 -- [ISA] [PERCENT] [SIZE] [THREADS] [ROUNDS]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use mobilenet_kernels::family::{self, Layer};
use mobilenet_kernels::int8::{
    AveragePool, AveragePoolSpec, Conv2d, Conv2dSpec, Depthwise, DepthwiseSpec, FullyConnected,
    Kernel, Multiplier, Rescale, Weights, peak,
};
use mobilenet_kernels::trial::Buffer;
use mobilenet_kernels::{Isa, Pool, Window};
use std::time::{Duration, Instant};

enum Op {
    Conv2d(Conv2d),
    Depthwise(Depthwise),
    Mean(AveragePool),
    Logits(FullyConnected),
}

struct Step {
    name: String,
    op: Op,
    multiply_adds: usize,
    input: Buffer<u8>,
    output: Buffer<u8>,
    best: Duration,
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 7919) % 251) as u8).collect()
}

/// Weights, bias and multipliers of a layer, like those of a trained network: multipliers whose sums
/// become bytes by lines.
struct Values(Vec<i8>, Vec<i32>, Vec<Multiplier>);

impl Values {
    fn new(terms: usize, outputs: usize) -> Self {
        // Like those of a trained network, most of them small.
        let normal =
            |i: usize| (0..4).map(|k| (i * 7919 + k * i * i) % 64).sum::<usize>() as i32 - 126;
        let weights = (0..terms * outputs).map(|i| normal(i).clamp(-128, 127) as i8).collect();
        let multiplier = Multiplier::new(0.0107 / (terms as f64).sqrt()).unwrap();
        let bias = (0..outputs).map(|i| i as i32 * 77 % 1000).collect();
        Self(weights, bias, vec![multiplier; outputs])
    }

    fn rescale(&self, zero_point: u8) -> Rescale<'_> {
        Rescale { multipliers: &self.2, zero_point, range: [0, 255] }
    }

    fn weights(&self) -> Weights<'_> {
        Weights::symmetric(&self.0)
    }
}

fn conv2d(isa: Isa, spec: Conv2dSpec) -> Conv2d {
    let values =
        Values::new(spec.window.kernel.iter().product::<usize>() * spec.input[2], spec.outputs);
    Conv2d::new(isa, spec, values.weights(), Some(&values.1), values.rescale(0)).unwrap()
}

fn steps(isa: Isa, layer: Layer) -> Vec<Step> {
    let step = |name, op, multiply_adds, input, output| Step {
        name,
        op,
        multiply_adds,
        input: Buffer::of(&bytes(input)),
        output: Buffer::of(&vec![0; output]),
        best: Duration::MAX,
    };
    match layer {
        Layer::First { size, outputs } => {
            let window = Window::same([3, 3], [2, 2], [1, 1], [size, size]);
            let op = conv2d(
                isa,
                Conv2dSpec { input: [size, size, 3], outputs, window, zero_point: 127 },
            );
            let out = op.output().iter().product();
            let name = format!("first {size}x{size} 3->{outputs}");
            vec![step(name, Op::Conv2d(op), layer.multiply_adds(), size * size * 3, out)]
        }
        Layer::Separable { size, inputs, outputs, stride } => {
            let window = Window::same([3, 3], [stride; 2], [1, 1], [size, size]);
            let spec =
                DepthwiseSpec { input: [size, size, inputs], multiplier: 1, window, zero_point: 0 };
            let values = Values::new(9, inputs);
            let depthwise =
                Depthwise::new(isa, spec, values.weights(), Some(&values.1), values.rescale(0))
                    .unwrap();
            let [height, width, _] = depthwise.output();
            let pixels = height * width;
            let window = Window::valid([1, 1], [1, 1], [1, 1]);
            let spec =
                Conv2dSpec { input: [height, width, inputs], outputs, window, zero_point: 0 };
            let pointwise = conv2d(isa, spec);
            let names = [
                format!("depthwise {size}x{size} {inputs} /{stride}"),
                format!("pointwise {height}x{width} {inputs}->{outputs}"),
            ];
            let [first, second] = names;
            vec![
                step(
                    first,
                    Op::Depthwise(depthwise),
                    pixels * inputs * 9,
                    size * size * inputs,
                    pixels * inputs,
                ),
                step(
                    second,
                    Op::Conv2d(pointwise),
                    pixels * inputs * outputs,
                    pixels * inputs,
                    pixels * outputs,
                ),
            ]
        }
        Layer::GlobalMean { size, channels } => {
            let window = Window::valid([size, size], [1, 1], [1, 1]);
            let spec = AveragePoolSpec {
                input: [size, size, channels],
                window,
                signed: true,
                range: [0, 255],
            };
            let op = Op::Mean(AveragePool::new(spec).unwrap());
            vec![step(
                format!("mean {size}x{size} {channels}"),
                op,
                0,
                size * size * channels,
                channels,
            )]
        }
        Layer::Logits { inputs, outputs } => {
            let values = Values::new(inputs, outputs);
            let op = FullyConnected::new(
                isa,
                [inputs, outputs],
                0,
                values.weights(),
                None,
                values.rescale(99),
            );
            let name = format!("logits {inputs}->{outputs}");
            vec![step(name, Op::Logits(op.unwrap()), layer.multiply_adds(), inputs, outputs)]
        }
    }
}

fn scratch_len(op: &Op, threads: usize) -> usize {
    match op {
        Op::Conv2d(op) => op.scratch_len(threads),
        Op::Depthwise(op) => op.scratch_len(threads),
        _ => 0,
    }
}

fn run(op: &Op, pool: &Pool, input: &[u8], output: &mut [u8], scratch: &mut [u8]) {
    match op {
        Op::Conv2d(op) => op.run(pool, 1, input, output, scratch),
        Op::Depthwise(op) => op.run(pool, 1, input, output, scratch),
        Op::Mean(op) => op.run(pool, 1, input, output),
        Op::Logits(op) => op.run(pool, 1, input, output),
    }
}

fn time(best: &mut Duration, repeats: usize, mut work: impl FnMut()) {
    for _ in 0..repeats {
        let start = Instant::now();
        work();
        *best = (*best).min(start.elapsed());
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let isa = args.next().map_or(Isa::detect(), |name| name.parse().unwrap());
    let mut number = |default| args.next().map_or(default, |text| text.parse().unwrap());
    let (percent, size, threads, rounds) = (number(25), number(192), number(1), number(300));
    let pool = Pool::new(threads);
    let layers = family::layers(percent, size, 1001);
    let mut steps: Vec<Step> = layers.iter().flat_map(|&layer| steps(isa, layer)).collect();
    let Op::Conv2d(first) = &steps[0].op else { return };
    let kernel = first.kernel();
    let longest = steps.iter().map(|step| scratch_len(&step.op, threads)).max().unwrap();
    let mut scratch = Buffer::of(&vec![0; longest]);
    let most = steps.iter().map(|step| step.output.len()).max().unwrap();
    let mut arena = [Buffer::of(&vec![0; most]), Buffer::of(&vec![0; most])];
    let image = steps[0].input.to_vec();
    let (mut peak, mut network, mut all) = (0.0f64, Duration::MAX, Vec::new());
    for _ in 0..rounds {
        peak = peak.max(peak::multiply_adds_per_second(kernel, Duration::from_micros(300)));
        for step in &mut steps {
            let Step { op, input, output, best, .. } = step;
            time(best, 5, || run(op, &pool, input, output, &mut scratch));
        }
        let mut once = Duration::MAX;
        time(&mut once, 5, || {
            let _active = pool.activate();
            let [a, b] = &mut arena;
            let (mut from, mut to) = (&mut *a, &mut *b);
            for (index, step) in steps.iter().enumerate() {
                let input = if index == 0 { &image } else { &from[..step.input.len()] };
                run(&step.op, &pool, input, &mut to[..step.output.len()], &mut scratch);
                std::mem::swap(&mut from, &mut to);
            }
        });
        network = network.min(once);
        all.push(once);
    }
    report(&steps, kernel, peak * threads as f64, network, all);
}

fn report(steps: &[Step], kernel: &Kernel, peak: f64, network: Duration, mut all: Vec<Duration>) {
    println!("{}: peak {:.1} G multiply-adds/s", kernel.name, 1e-9 * peak);
    println!("{:34} {:>9} {:>8} {:>6}", "layer", "us", "G/s", "peak");
    let line = |name: &str, work: usize, time: Duration, more: String| {
        let (us, rate) = (1e6 * time.as_secs_f64(), work as f64 / time.as_secs_f64());
        println!("{name:34} {us:9.2} {:8.1} {:5.1}%   {more}", 1e-9 * rate, rate / peak * 100.0);
    };
    for step in steps {
        line(&step.name, step.multiply_adds, step.best, String::new());
    }
    let sum = steps.iter().map(|step| step.best).sum();
    let total = steps.iter().map(|step| step.multiply_adds).sum();
    line("sum of the layers", total, sum, String::new());
    all.sort();
    let median = 1e6 * all[all.len() / 2].as_secs_f64();
    line("whole network", total, network, format!("median {median:.2} us"));
    println!("floor {:.1} us", total as f64 / peak * 1e6);
}
