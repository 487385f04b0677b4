//! Times every layer of one MobileNet V1 and the whole network made of the kernels alone, beside
//! the measured peak of the core:
//!
//!     cargo run --release -p mobilenet-kernels --example layers -- [ISA] [PERCENT] [SIZE] [THREADS] [ROUNDS]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use mobilenet_kernels::family::{self, Layer};
use mobilenet_kernels::trial::{Buffer, time};
use mobilenet_kernels::{Choice, Isa, Pool, Trial, global_mean, peak};
use std::time::{Duration, Instant};

enum Op {
    Convolution(Box<Trial>),
    Mean([usize; 3]),
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

fn step(isa: Isa, threads: usize, layer: Layer) -> Step {
    let name = match layer {
        Layer::First { size, outputs } => format!("first {size}x{size} 3->{outputs}"),
        Layer::Separable { size, inputs, outputs, stride } => {
            format!("separable {size}x{size} {inputs}->{outputs} /{stride}")
        }
        Layer::GlobalMean { size, channels } => format!("mean {size}x{size} {channels}"),
        Layer::Logits { inputs, outputs } => format!("logits {inputs}->{outputs}"),
    };
    let trial = |op| Trial::new(isa, &op, Choice::default(), threads).unwrap();
    let (op, input, output) = match (layer.tunable().map(trial), layer) {
        (Some(trial), _) => {
            let (input, output) = (trial.input().to_vec(), trial.output_len());
            (Op::Convolution(Box::new(trial)), input, output)
        }
        (None, Layer::GlobalMean { size, channels }) => {
            let pixels = size * size;
            (Op::Mean([1, pixels, channels]), vec![0.5; pixels * channels], channels)
        }
        (None, _) => unreachable!("only the mean is no convolution"),
    };
    Step {
        name,
        op,
        multiply_adds: layer.multiply_adds(),
        input: Buffer::of(&input),
        output: Buffer::of(&vec![0.0; output]),
        best: [Duration::MAX; 4],
    }
}

fn scratch_len(op: &Op) -> usize {
    match op {
        Op::Convolution(trial) => trial.scratch_len(),
        Op::Mean(_) => 0,
    }
}

fn run(op: &Op, isa: Isa, pool: &Pool, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
    match op {
        Op::Convolution(trial) => trial.run_on(pool, input, output, scratch),
        Op::Mean(sizes) => global_mean(isa, pool, *sizes, input, output),
    }
}

fn halves(step: &mut Step, pool: &Pool, scratch: &mut [f32]) {
    let Step { op: Op::Convolution(trial), input, output, best, .. } = step else { return };
    let Some(op) = trial.separable() else { return };
    let (depthwise, pointwise) = op.parts();
    let [height, width, channels] = depthwise.output();
    let middle = &mut scratch[..height * width * channels];
    time(&mut best[1], 5, || depthwise.run(pool, 1, input, middle));
    time(&mut best[2], 5, || pointwise.run(pool, height * width, middle, output));
}

fn main() {
    let mut args = std::env::args().skip(1);
    let isa = args.next().map_or(Isa::detect(), |name| name.parse().unwrap());
    let mut number = |default| args.next().map_or(default, |text| text.parse().unwrap());
    let (percent, size, threads, rounds) = (number(25), number(192), number(1), number(300));
    let pool = Pool::new(threads);
    let layers = family::layers(percent, size, 1001);
    let mut steps: Vec<Step> = layers.iter().map(|&layer| step(isa, threads, layer)).collect();
    let mut network = Duration::MAX;
    let (mut peak, mut all) = (0.0f64, Vec::new());
    let image = Buffer::of(&steps[0].input);
    let most = steps.iter().map(|step| step.output.len()).max().unwrap();
    let longest = steps.iter().map(|step| scratch_len(&step.op)).max().unwrap();
    let mut scratch = Buffer::of(&vec![0.0; longest.max(most)]);
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
    report(&steps, peak * threads as f64, isa, network, all);
}

fn report(steps: &[Step], peak: f64, isa: Isa, network: Duration, mut all: Vec<Duration>) {
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
        if let Op::Convolution(trial) = &step.op
            && let Some(op) = trial.separable()
        {
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
