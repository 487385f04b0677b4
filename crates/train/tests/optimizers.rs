//! Every optimiser against five steps of TensorFlow's own update op.
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
