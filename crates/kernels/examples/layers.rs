//! Times every layer of one MobileNet V1 and the whole network made of the kernels alone, beside
//! the measured peak of the core:
//!
//!     cargo run --release -p mobilenet-kernels --example layers -- [ISA] [PERCENT] [SIZE] [THREADS] [ROUNDS]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use mobilenet_kernels::family::{self, Layer};
use mobilenet_kernels::{
    Activation, Affine, Conv2d, Conv2dSpec, DepthwiseSpec, Isa, Pointwise, PointwiseSpec, Pool,
    Separable, SeparableSpec, Window, global_mean, peak,
};
use std::time::{Duration, Instant};

enum Op {
    First(Conv2d),
    Separable(Separable),
    Mean([usize; 3]),
    Logits(Pointwise),
}

struct Step {
    name: String,
    op: Op,
    multiply_adds: usize,
    input: Buffer,
    output: Buffer,
    /// Best time of the step, of its depthwise half, of its pointwise half, within the network.
    best: [Duration; 4],
}

/// Floats on a cache-line boundary, as in an arena.
struct Buffer {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    fn of(values: &[f32]) -> Self {
        let mut data = vec![0.0; values.len() + 16];
        let start = data.as_ptr().align_offset(64);
        data[start..start + values.len()].copy_from_slice(values);
        Self { data, start, len: values.len() }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..][..self.len]
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1009) as f32 / 504.0 - 1.0).collect()
}

fn small(len: usize) -> Vec<f32> {
    values(len).iter().map(|x| x * 0.1).collect()
}

fn step(isa: Isa, layer: Layer) -> Step {
    let activation = Activation::Relu6;
    let (name, op, inputs, outputs) = match layer {
        Layer::First { size, outputs } => {
            let window = Window::same([3, 3], [2, 2], [1, 1], [size, size]);
            let affine = Some(Affine { scale: 2.0, offset: -1.0 });
            let spec = Conv2dSpec { input: [size, size, 3], outputs, window, affine, activation };
            let op = Conv2d::new(isa, spec, &small(27 * outputs), Some(&small(outputs))).unwrap();
            let out = op.output().iter().product();
            (format!("first {size}x{size} 3->{outputs}"), Op::First(op), size * size * 3, out)
        }
        Layer::Separable { size, inputs, outputs, stride } => {
            let window = Window::same([3, 3], [stride; 2], [1, 1], [size, size]);
            let depthwise =
                DepthwiseSpec { input: [size, size, inputs], multiplier: 1, window, activation };
            let spec = SeparableSpec { depthwise, outputs, activation };
            let (dw, dw_bias) = (small(9 * inputs), small(inputs));
            let (pw, pw_bias) = (small(inputs * outputs), small(outputs));
            let op = Separable::new(isa, spec, (&dw, Some(&dw_bias)), (&pw, Some(&pw_bias)));
            let op = op.unwrap();
            let out = op.output().iter().product();
            let name = format!("separable {size}x{size} {inputs}->{outputs} /{stride}");
            (name, Op::Separable(op), size * size * inputs, out)
        }
        Layer::GlobalMean { size, channels } => {
            let op = Op::Mean([1, size * size, channels]);
            (format!("mean {size}x{size} {channels}"), op, size * size * channels, channels)
        }
        Layer::Logits { inputs, outputs } => {
            let spec = PointwiseSpec { inputs, outputs, activation: Activation::None };
            let op = Pointwise::new(isa, spec, &small(inputs * outputs), None).unwrap();
            (format!("logits {inputs}->{outputs}"), Op::Logits(op), inputs, outputs)
        }
    };
    Step {
        name,
        op,
        multiply_adds: layer.multiply_adds(),
        input: Buffer::of(&values(inputs)),
        output: Buffer::of(&vec![0.0; outputs]),
        best: [Duration::MAX; 4],
    }
}

fn scratch_len(op: &Op, threads: usize) -> usize {
    match op {
        Op::First(op) => op.scratch_len(threads),
        Op::Separable(op) => op.scratch_len(threads),
        _ => 0,
    }
}

/// Floats between the halves of a separable convolution.
fn middle_len(op: &Op) -> usize {
    if let Op::Separable(op) = op { op.parts().0.output().iter().product() } else { 0 }
}

fn run(op: &Op, isa: Isa, pool: &Pool, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
    match op {
        Op::First(op) => op.run(pool, 1, input, output, scratch),
        Op::Separable(op) => op.run(pool, 1, input, output, scratch),
        Op::Mean(sizes) => global_mean(isa, pool, *sizes, input, output),
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

fn halves(step: &mut Step, pool: &Pool, scratch: &mut [f32]) {
    let Op::Separable(op) = &step.op else { return };
    let (depthwise, pointwise) = op.parts();
    let [height, width, channels] = depthwise.output();
    let middle = &mut scratch[..height * width * channels];
    time(&mut step.best[1], 5, || depthwise.run(pool, 1, &step.input, middle));
    time(&mut step.best[2], 5, || pointwise.run(pool, height * width, middle, &mut step.output));
}

fn main() {
    let mut args = std::env::args().skip(1);
    let isa = args.next().map_or(Isa::detect(), |name| name.parse().unwrap());
    let mut number = |default| args.next().map_or(default, |text| text.parse().unwrap());
    let (percent, size, threads, rounds) = (number(25), number(192), number(1), number(300));
    let pool = Pool::new(threads);
    let layers = family::layers(percent, size, 1001);
    let mut steps: Vec<Step> = layers.iter().map(|&layer| step(isa, layer)).collect();
    let longest = steps.iter().map(|step| scratch_len(&step.op, threads).max(middle_len(&step.op)));
    let mut scratch = Buffer::of(&vec![0.0; longest.max().unwrap()]);
    let mut network = Duration::MAX;
    let (mut peak, mut all) = (0.0f64, Vec::new());
    let image = Buffer::of(&steps[0].input);
    let most = steps.iter().map(|step| step.output.len()).max().unwrap();
    let mut arena = [(); 2].map(|()| Buffer::of(&vec![0.0; most]));
    for _ in 0..rounds {
        peak = peak.max(peak::multiply_adds_per_second(isa, Duration::from_micros(300)));
        for step in &mut steps {
            let Step { op, input, output, best, .. } = step;
            time(&mut best[0], 5, || run(op, isa, &pool, input, output, &mut scratch));
            halves(step, &pool, &mut scratch);
        }
        let mut once = Duration::MAX;
        time(&mut once, 5, || {
            let _active = pool.activate();
            let [a, b] = &mut arena;
            let (mut from, mut to) = (&mut *a, &mut *b);
            for (index, step) in steps.iter_mut().enumerate() {
                let start = Instant::now();
                let input = if index == 0 { &image } else { &from[..step.input.len()] };
                let output = &mut to[..step.output.len()];
                run(&step.op, isa, &pool, input, output, &mut scratch);
                std::mem::swap(&mut from, &mut to);
                step.best[3] = step.best[3].min(start.elapsed());
            }
        });
        network = network.min(once);
        all.push(once);
    }
    report(&steps, isa, peak * threads as f64, network, all);
}

fn report(steps: &[Step], isa: Isa, peak: f64, network: Duration, mut all: Vec<Duration>) {
    println!("{isa}: peak {:.1} GFLOP/s", 2e-9 * peak);
    println!("{:34} {:>9} {:>8} {:>6}   inside, halves", "layer", "us", "GFLOP/s", "peak");
    let share = |work: usize, time: Duration| work as f64 / time.as_secs_f64() / peak * 100.0;
    let line = |name: &str, work: usize, time: Duration, halves: String| {
        let (us, rate) = (1e6 * time.as_secs_f64(), 2e-9 * work as f64 / time.as_secs_f64());
        println!("{name:34} {us:9.2} {rate:8.1} {:5.1}%   {halves}", share(work, time));
    };
    let mut sum = Duration::ZERO;
    for step in steps {
        sum += step.best[0];
        let mut halves = format!("{:8.2}", 1e6 * step.best[3].as_secs_f64());
        if let Op::Separable(op) = &step.op {
            let [h, w, c] = op.parts().0.output();
            let (d, p) = (h * w * c * 9, step.multiply_adds - h * w * c * 9);
            halves += &format!(
                "  {:7.2} us {:4.1}%  {:7.2} us {:4.1}%",
                1e6 * step.best[1].as_secs_f64(),
                share(d, step.best[1]),
                1e6 * step.best[2].as_secs_f64(),
                share(p, step.best[2])
            );
        }
        line(&step.name, step.multiply_adds, step.best[0], halves);
    }
    let total = steps.iter().map(|step| step.multiply_adds).sum();
    line("sum of the layers", total, sum, String::new());
    all.sort();
    let median = 1e6 * all[all.len() / 2].as_secs_f64();
    line("whole network", total, network, format!("median {median:.2} us"));
    println!("floor {:.1} us", total as f64 / peak * 1e6);
}
