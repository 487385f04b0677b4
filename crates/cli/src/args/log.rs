//! What a training run says while it goes on, and where.

use std::path::PathBuf;

use clap::Args;

use crate::interrupt::Interrupt;
use crate::output::TrainingLog;

/// What a training run says.
#[derive(Args, Debug)]
#[command(next_help_heading = "Progress")]
pub(crate) struct LogArgs {
    /// Write event files for TensorBoard to this folder
    ///
    /// Loss, accuracy and learning rate of each step below train/, of each epoch below validation/.
    #[arg(long, value_name = "DIR", alias = "summaries_dir", alias = "summaries-dir")]
    #[arg(conflicts_with = "find_learning_rate")]
    tensorboard: Option<PathBuf>,

    /// Print one JSON object for each step and epoch, and the result, to stdout
    #[arg(long)]
    pub(crate) jsonl: bool,

    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

impl LogArgs {
    /// The log that the flags describe; Ctrl-C stops the run it hears of.
    pub(crate) fn start(&self) -> TrainingLog {
        let log = TrainingLog::new(self.jsonl, self.quiet, Interrupt::watch());
        match &self.tensorboard {
            Some(folder) => log.with_tensorboard(folder),
            None => log,
        }
    }
}
