//! What a network is trained on, and where the module goes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mobilenet::training::{Job, Recipe, Shares};

use super::{HubArgs, LearningArgs, RunArgs, TeacherArgs};
use crate::failure::Failure;

/// What a network is trained on, and where the module goes.
#[derive(Args, Debug)]
pub(crate) struct DataArgs {
    /// The photos: a folder per class, alone or below train/, validation/ and test/; or WebDataset
    /// tars; or TFRecords
    ///
    /// Tars and TFRecords may be a file, a range such as 'train-{0000..0147}.tar', or a folder of them,
    /// whose names say what they are for (validation-00000-of-00128). Given several times, the data is
    /// joined: classes of the same name are one class.
    #[arg(long, value_name = "PATH", required = true, alias = "image_dir", alias = "image-dir")]
    pub(crate) data: Vec<PathBuf>,

    /// How much of each batch comes from each --data, in proportion [default: as much as they hold]
    #[arg(long, value_name = "X,Y", value_delimiter = ',')]
    data_weights: Vec<f64>,

    /// Photos to validate with, as for --data [default: the data's own, or a share of it by content]
    #[arg(long, value_name = "PATH")]
    validation: Option<PathBuf>,

    /// Percentage of undivided photos to validate with
    #[arg(long, value_name = "P", default_value_t = 10.0, alias = "validation_percentage")]
    pub(crate) validation_percentage: f64,

    /// Percentage of undivided photos to test with at the end
    #[arg(long, value_name = "P", alias = "testing_percentage")]
    testing_percentage: Option<f64>,

    /// Write the module and the checkpoints to this folder
    #[arg(long, value_name = "DIR", alias = "saved_model_dir", alias = "saved-model-dir")]
    out: PathBuf,

    /// Go on from the checkpoint in --out
    #[arg(long)]
    resume: bool,

    /// Names of the classes: lines of folder, TAB, name [default: the folders' names]
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,

    #[command(flatten)]
    teacher: TeacherArgs,
}

impl DataArgs {
    /// The job that the flags describe; `testing` is the usual percentage to test with.
    pub(crate) fn job(
        &self,
        learning: &LearningArgs,
        (hub, run): (&HubArgs, &RunArgs),
        image_size: usize,
        recipe: Recipe,
        testing: f64,
    ) -> Result<Job, Failure> {
        let mut job = Job {
            data: self.data.clone(),
            data_weights: self.data_weights.clone(),
            ..Job::new(PathBuf::new(), &self.out, image_size, recipe)
        };
        job.validation.clone_from(&self.validation);
        job.shares = Shares {
            validation: self.validation_percentage / 100.0,
            test: self.testing_percentage.unwrap_or(testing) / 100.0,
        };
        job.names.clone_from(&self.names);
        job.resume = self.resume;
        if let Some(threads) = run.threads {
            job.threads = threads.get();
        }
        job.steps = learning.steps;
        (job.rmsprop_decay, job.epsilon) = (learning.rmsprop_decay, learning.epsilon);
        job.class_weights.clone_from(&learning.class_weights);
        job.seed = learning.seed;
        job.patience = learning.patience;
        job.save_every = Duration::from_secs(learning.save_every);
        job.cache_bytes = learning.cache_mb.saturating_mul(1 << 20);
        job.distillation = self.teacher.distillation(hub)?;
        Ok(job)
    }
}
