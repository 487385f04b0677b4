//! Every optimiser against five steps of TensorFlow's own update op; Nesterov momentum and
//! decoupled weight decay against plain loops in float64.
#![allow(clippy::expect_used, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::path::PathBuf;

use mobilenet_formats::Limits;
use mobilenet_formats::safetensors::SafeTensors;
use mobilenet_train::optimizer::{Adam, GradientDescent, Momentum, Optimizer, RmsProp, Step};

fn shared() -> PathBuf {
    std::env::var_os("MOBILENET_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    )
}

#[test]
fn five_steps_agree_with_tensorflow() {
    let path = shared().join("golden/ops.safetensors");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let golden = SafeTensors::read(&bytes, &Limits::default()).unwrap();
    let cases: [(&str, f32, Box<dyn Optimizer>); 4] = [
        ("sgd_lr0.01", 0.01, Box::new(GradientDescent)),
        ("momentum_lr0.01_m0.9", 0.01, Box::new(Momentum { momentum: 0.9, nesterov: false })),
        ("rmsprop_lr0.045_d0.9_m0.9_e1", 0.045, Box::new(RmsProp::default())),
        ("adam_lr0.001", 0.001, Box::new(Adam::default())),
    ];
    for (name, learning_rate, optimizer) in cases {
        let values = |key: &str| {
            let tensor = golden.tensor(&format!("optim/{name}/{key}")).unwrap();
            tensor.as_f32().unwrap().to_vec()
        };
        let mut variable = values("var0");
        let n = variable.len();
        let mut slots: Vec<Vec<f32>> =
            optimizer.slots().iter().map(|slot| vec![slot.initial; n]).collect();
        let steps = values("grads").chunks(n).map(<[f32]>::to_vec).collect::<Vec<_>>();
        for (step, (gradient, want)) in
            steps.iter().zip(values("var_after_each_step").chunks(n)).enumerate()
        {
            let number = step as u64 + 1;
            optimizer.apply(Step { learning_rate, number }, &mut variable, gradient, &mut slots);
            for (got, want) in variable.iter().zip(want) {
                // Two float32 roundings apart at most: values are around 1.
                assert!((got - want).abs() <= 3e-7, "{name} step {number}: {got} for {want}");
            }
        }
    }
}

const STEPS: u64 = 5;

/// A loss of the variable, `curve * value^2 / 2` for each element, by its slope.
const CURVES: [f32; 4] = [0.5, 1.0, 2.0, 4.0];
const START: [f32; 4] = [0.75, -1.5, 0.3, -0.2];

/// Follows the slopes of [`CURVES`], and returns the variable and the slots.
fn descend(optimizer: &dyn Optimizer, learning_rate: f32) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut variable = START.to_vec();
    let mut slots: Vec<Vec<f32>> =
        optimizer.slots().iter().map(|slot| vec![slot.initial; START.len()]).collect();
    for number in 1..=STEPS {
        let gradient: Vec<f32> = variable.iter().zip(CURVES).map(|(x, c)| c * x).collect();
        optimizer.apply(Step { learning_rate, number }, &mut variable, &gradient, &mut slots);
    }
    (variable, slots)
}

fn assert_near(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (&got, want) in got.iter().zip(want) {
        // A few float32 roundings in five steps.
        let gap = (f64::from(got) - want).abs();
        assert!(gap <= 1e-6 * want.abs().max(1.0), "{got} for {want}");
    }
}

/// As Nesterov wrote it: the slope is taken where the speed is about to carry the value. The
/// variable is that place ahead, as in TensorFlow.
#[test]
fn nesterov_momentum_takes_the_slope_ahead() {
    let (learning_rate, momentum) = (0.05_f32, 0.9_f32);
    let (got, slots) = descend(&Momentum { momentum, nesterov: true }, learning_rate);
    let (rate, keep) = (f64::from(learning_rate), f64::from(momentum));
    let (mut ahead, mut speeds) = (Vec::new(), Vec::new());
    for (start, curve) in START.into_iter().zip(CURVES) {
        let (mut value, mut speed) = (f64::from(start), 0.0);
        for _ in 0..STEPS {
            let slope = f64::from(curve) * (value - rate * keep * speed);
            speed = keep * speed + slope;
            value -= rate * speed;
        }
        ahead.push(value - rate * keep * speed);
        speeds.push(speed);
    }
    assert_near(&got, &ahead);
    assert_near(&slots[0], &speeds);
    let (plain, _) = descend(&Momentum { momentum, nesterov: false }, learning_rate);
    assert!((plain[0] - got[0]).abs() > 1e-3, "nesterov changes nothing");
}

/// Loshchilov and Hutter's algorithm 2: the decay does not enter the means.
#[test]
fn weight_decay_of_adamw_is_decoupled() {
    let learning_rate = 0.01_f32;
    let adam = Adam { weight_decay: 0.1, ..Adam::default() };
    let (got, slots) = descend(&adam, learning_rate);
    let [rate, decay, beta1, beta2, epsilon] =
        [learning_rate, adam.weight_decay, adam.beta1, adam.beta2, adam.epsilon].map(f64::from);
    let (mut values, mut means, mut squares) = (Vec::new(), Vec::new(), Vec::new());
    for (start, curve) in START.into_iter().zip(CURVES) {
        let (mut value, mut mean, mut square) = (f64::from(start), 0.0, 0.0);
        for step in 1..=STEPS {
            let slope = f64::from(curve) * value;
            mean = beta1 * mean + (1.0 - beta1) * slope;
            square = beta2 * square + (1.0 - beta2) * slope * slope;
            let unbiased_mean = mean / (1.0 - beta1.powf(step as f64));
            let unbiased_square = square / (1.0 - beta2.powf(step as f64));
            let moved = rate * unbiased_mean / (unbiased_square.sqrt() + epsilon);
            value -= moved + rate * decay * value;
        }
        values.push(value);
        means.push(mean);
        squares.push(square);
    }
    assert_near(&got, &values);
    assert_near(&slots[0], &means);
    assert_near(&slots[1], &squares);
}

#[test]
fn without_a_slope_adamw_only_shrinks() {
    let (learning_rate, weight_decay) = (0.01_f32, 0.1_f32);
    let adam = Adam { weight_decay, ..Adam::default() };
    let mut variable = START.to_vec();
    let mut slots = vec![vec![0.0; START.len()]; 2];
    for number in 1..=STEPS {
        adam.apply(Step { learning_rate, number }, &mut variable, &[0.0; 4], &mut slots);
    }
    let mut want = START.map(f64::from);
    for _ in 0..STEPS {
        want.iter_mut()
            .for_each(|x| *x *= 1.0 - f64::from(learning_rate) * f64::from(weight_decay));
    }
    assert_near(&variable, &want);
    assert!(slots.iter().flatten().all(|&slot| slot == 0.0));
}
