//! Every kernel and every height of strips that may be chosen computes what the cost model's choice
//! computes, with any number of threads.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use mobilenet_kernels::{Choice, Isa, Pool, Trial, Tunable, Tuning, family};

fn output(isa: Isa, op: &Tunable, choice: Choice, threads: usize) -> Option<Vec<f32>> {
    let trial = Trial::new(isa, op, choice, threads).ok()?;
    let mut output = vec![f32::NAN; trial.output_len()];
    let mut scratch = vec![f32::NAN; trial.scratch_len()];
    trial.run_on(&Pool::new(threads), trial.input(), &mut output, &mut scratch);
    Some(output)
}

fn ops() -> Vec<Tunable> {
    let layers = [family::layers(25, 32, 101), family::layers(50, 39, 10)].concat();
    layers.iter().filter_map(|layer| layer.tunable()).collect()
}

#[test]
fn choices_compute_the_same() {
    let mut seen = 0;
    for isa in Isa::available() {
        for op in ops() {
            let expected = output(isa, &op, Choice::default(), 1).expect("the model's choice fits");
            let strips =
                op.strips().into_iter().map(|rows| Choice { rows: Some(rows), kernel: None });
            for choice in op.kernels(isa).into_iter().chain(strips) {
                let got = output(isa, &op, choice, 1);
                assert!(got.is_some() || choice.kernel.is_some(), "{isa} {op}: {choice} refused");
                let Some(got) = got else { continue };
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
                assert!(got.iter().zip(&expected).all(close), "{isa} {op}: {choice}");
                assert_eq!(output(isa, &op, choice, 3), Some(got), "{isa} {op}: {choice}, threads");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let ops = ops();
    for op in &ops {
        assert!(Trial::new(Isa::Portable, op, Choice::of("none"), 1).is_err());
        let other = Choice::of("depthwise_f32_4x8__portable");
        assert!(Trial::new(Isa::Portable, op, other, 1).is_err(), "{op}");
    }
}

#[test]
fn tuning_is_written_and_read_and_forgives_what_it_does_not_know() {
    let mut tuning = Tuning::default();
    let ops = ops();
    for (rows, op) in ops.iter().enumerate() {
        let rows = (rows % 2 == 0).then_some(rows + 1);
        tuning.set(Isa::Portable, op, Choice { kernel: Some("pointwise_f32_4x8__portable"), rows });
    }
    let text = tuning.to_string();
    assert_eq!(Tuning::parse(&text), tuning);
    let odd = format!("{text}portable x\tno such kernel\nnonsense\n\nportable y\t- many\n");
    assert_eq!(Tuning::parse(&odd), tuning);
    let names: Vec<String> = ops.iter().map(Tunable::to_string).collect();
    tuning.update(Isa::Portable, &names, &Tuning::default());
    assert!(tuning.is_empty());
}
