//! `mobilenet train`: MobileNet V1 from random values on a folder of photos, to a module.

use clap::Args;
use mobilenet::training::{Curve, Range, TrainOptions};
use serde_json::json;

use crate::args::{DataArgs, HubArgs, LearningArgs, LogArgs, RunArgs};
use crate::failure::{Failure, Outcome, Status};
use crate::output::{Against, TrainingLog, print_line, print_text};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet train --data photos --out flowers
  mobilenet train --data tiny-imagenet-200 --names tiny-imagenet-200/words.txt --out tiny --image-size 96
  mobilenet train --data photos --out flowers --teacher larger-module
  mobilenet train --data photos --out flowers --resume
  mobilenet train --data photos --data renders --data-weights 3,1 --out flowers
  mobilenet train --data photos --out flowers --find-learning-rate
  mobilenet train --data 'shard-{0000..0031}.tar' --validation val --out big --recipe slim
  mobilenet classify --module flowers photo.jpg

Ctrl-C saves; --resume goes on, with the same flags, as if nothing had happened.";

/// Train MobileNet V1 from random values
///
/// Writes a TensorFlow Hub module (graphs for inference and training, labels) to --out, and
/// checkpoints to its folder `training`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Train {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    learning: LearningArgs,

    #[command(flatten)]
    hub: HubArgs,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// What is trained.
#[derive(Args, Debug)]
#[command(next_help_heading = "Network")]
struct NetworkArgs {
    /// Factor on every layer's channels
    #[arg(long, value_name = "X", default_value_t = 0.25)]
    depth_multiplier: f64,

    /// Height and width of the network's input, in pixels; smaller photos are enlarged
    #[arg(long, value_name = "N", default_value_t = 128)]
    image_size: usize,
}

impl Train {
    pub(crate) fn run(self) -> Outcome {
        let options = self.options()?;
        let mut log = self.log.start();
        if self.learning.find_learning_rate {
            let curve = options.test_learning_rates(Range::default(), &mut |event| log.hear(event));
            return learning_rates(curve, log, self.log.jsonl);
        }
        let result = options.train(&mut |event| log.hear(event));
        let skipped = log.finish()?;
        let trained = result?;
        let Some(folder) = &trained.module else {
            return Ok(stopped(trained.outcome.progress.step));
        };
        crate::output::trained(&trained, skipped, Against::Labels, self.log.jsonl)?;
        terminal::note(format_args!("the module is in {}", folder.display()));
        Ok(Status::Good)
    }

    fn options(&self) -> Result<TrainOptions, Failure> {
        let recipe = self.learning.recipe("modern")?;
        let size = self.network.image_size;
        let job = self.data.job(&self.learning, (&self.hub, &self.run), size, recipe, 0.0)?;
        Ok(TrainOptions { job, depth_multiplier: self.network.depth_multiplier })
    }
}

/// Prints what a test of learning rates came to, of which `log` heard.
pub(super) fn learning_rates(
    curve: Result<Curve, mobilenet::Error>,
    log: TrainingLog,
    jsonl: bool,
) -> Outcome {
    let interrupted = log.is_interrupted();
    log.finish()?;
    let curve = &curve?;
    if interrupted && curve.points.is_empty() {
        return Ok(stopped(0));
    }
    let suggestion = curve.suggestion();
    if jsonl {
        let points: Vec<_> = curve
            .points
            .iter()
            .map(|point| json!({"learning_rate": point.learning_rate, "loss": point.loss, "smoothed_loss": point.smoothed}))
            .collect();
        let object = json!({"event": "result", "suggestion": suggestion, "points": points});
        print_line(&object)?;
        return Ok(Status::Good);
    }
    print_text(&crate::output::learning_rates(curve))?;
    match suggestion {
        Some(rate) => terminal::note(format_args!("try --learning-rate {}", two_digits(rate))),
        None => terminal::warning("the loss fell at no learning rate"),
    }
    Ok(Status::Good)
}

/// As people write a rate: 0.013.
fn two_digits(rate: f64) -> f64 {
    let scale = 10f64.powf(1.0 - rate.log10().floor());
    (rate * scale).round() / scale
}

/// Says how to go on after Ctrl-C.
pub(super) fn stopped(step: u64) -> Status {
    match step {
        0 => terminal::note("stopped before the first step; begin again with the same command"),
        _ => terminal::note(format_args!(
            "stopped after step {step}; go on with the same command and --resume"
        )),
    }
    Status::Interrupted
}
