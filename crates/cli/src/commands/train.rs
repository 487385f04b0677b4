//! `mobilenet train`: MobileNet V1 from random values on a folder of photos, to a module.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mobilenet::training::TrainOptions;

use crate::args::{LearningArgs, RunArgs};
use crate::failure::{Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::output::TrainingLog;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet train --data photos --out flowers
  mobilenet train --data tiny-imagenet-200 --names tiny-imagenet-200/words.txt --out tiny --image-size 96
  mobilenet train --data photos --out flowers --resume
  mobilenet train --data 'shard-{0000..0031}.tar' --validation val --out big --recipe slim
  mobilenet classify --module flowers photo.jpg

The data is a folder per class, alone or below train/ and validation/ (or val/), or WebDataset
tars. Ctrl-C saves; --resume goes on, with the same flags, as if nothing had happened.";

/// Train MobileNet V1 from random values
///
/// Writes a TensorFlow Hub module (graphs for inference and training, labels) to --out, and
/// checkpoints to its folder `training`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Train {
    /// The photos: a folder per class, or WebDataset tars
    #[arg(long, value_name = "PATH")]
    data: PathBuf,

    /// Photos to validate with [default: the data's own, or a tenth of it by content]
    #[arg(long, value_name = "DIR")]
    validation: Option<PathBuf>,

    /// Write the module and the checkpoints to this folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Go on from the checkpoint in --out
    #[arg(long)]
    resume: bool,

    /// Names of the classes: lines of folder, TAB, name [default: the folders' names]
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    learning: LearningArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Print one JSON object for each step and epoch to stdout
    #[arg(long)]
    jsonl: bool,

    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
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
        let interrupt = Interrupt::watch();
        let mut log = TrainingLog::new(self.jsonl, self.quiet, interrupt.clone());
        let result = options.train(&mut |event| log.hear(event));
        log.finish()?;
        let trained = result?;
        match trained.module {
            Some(folder) => {
                terminal::note(format_args!("the module is in {}", folder.display()));
                Ok(Status::Good)
            }
            None => {
                terminal::note(format_args!(
                    "stopped after step {}; go on with the same command and --resume",
                    trained.outcome.progress.step
                ));
                Ok(Status::Interrupted)
            }
        }
    }

    fn options(&self) -> Result<TrainOptions, Failure> {
        let recipe = self.learning.recipe("modern")?;
        let mut options = TrainOptions::new(&self.data, &self.out, recipe);
        options.validation.clone_from(&self.validation);
        options.names.clone_from(&self.names);
        options.resume = self.resume;
        options.depth_multiplier = self.network.depth_multiplier;
        options.image_size = self.network.image_size;
        if let Some(threads) = self.run.threads {
            options.threads = threads.get();
        }
        options.seed = self.learning.seed;
        options.patience = self.learning.patience;
        options.save_every = Duration::from_secs(self.learning.save_every);
        options.cache_bytes = self.learning.cache_mb.saturating_mul(1 << 20);
        Ok(options)
    }
}
