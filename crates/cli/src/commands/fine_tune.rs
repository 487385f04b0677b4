//! `mobilenet fine-tune`: a module's backbone and a new classifier on a folder of photos, to a
//! module; how good it is, class by class, at the end.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use mobilenet::Module;
use mobilenet::export::tflite::WeightType;
use mobilenet::quantize::{QuantizeOptions, carries_ranges, quantize};
use mobilenet::training::{
    AugmentChanges, Event, FineTuneOptions, Job, Mode, QuantizationAwareOptions, Range,
};

use super::train::{learning_rates, stopped};
use crate::args::{DataArgs, HubArgs, LearningArgs, LogArgs, RunArgs};
use crate::failure::{Failure, Outcome, Status};
use crate::output::{Against, WholeFile};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet fine-tune --data clothing --out my-module
  mobilenet fine-tune --module mobilenet_v1_050_160/feature_vector/1.tar.gz --data clothing --out my-module
  mobilenet fine-tune --data clothing --out my-module --mode full --epochs 30
  mobilenet fine-tune --data clothing --out my-module --mode full --teacher larger-module
  mobilenet fine-tune --quantization-aware --data photos --out my-module
  mobilenet classify --module my-module photo.jpg

--mode head learns a classifier on features that are computed once: seconds. --mode full learns
everything, better and slower. --quantization-aware keeps the classes: the network learns to answer
rounded to 8 bits as it does in floats, and `mobilenet quantize` makes 8 bits of it. Flags of make_image_classifier and retrain.py with the same
meaning (--image_dir, --tfhub_module, --saved_model_dir, --labels_output_file, --train_epochs,
--batch_size, --learning_rate, --momentum, --dropout_rate, --bottleneck_dir …) are understood.";

/// Train a module on your own photos
///
/// Writes a TensorFlow Hub module (graphs for inference and training, labels) to --out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FineTune {
    /// The module to start from: a URL, a folder, a .tar.gz, or a model file [default: MobileNet V1 0.25
    /// for 192x192]
    #[arg(short, long, value_name = "HANDLE", env = "MOBILENET_MODULE", hide_env_values = true)]
    #[arg(alias = "tfhub_module", alias = "tfhub-module")]
    module: Option<String>,

    /// What learns: head, last-blocks:N, or full
    #[arg(long, value_name = "MODE", default_value = "head")]
    mode: Mode,

    /// Let the last N of 13 blocks learn: --mode last-blocks:N
    #[arg(long, value_name = "N", conflicts_with = "mode")]
    last_blocks: Option<usize>,

    /// Let everything learn: --mode full
    #[arg(long, conflicts_with_all = ["mode", "last_blocks"])]
    full: bool,

    /// Let variables whose names match keep their values; * is any text, ? any character; may be
    /// given several times
    ///
    /// Blocks frozen as a whole, from the first on, run as at inference, as with --mode last-blocks:N;
    /// any other frozen layer normalises by its batch.
    #[arg(long, value_name = "GLOB")]
    freeze: Vec<String>,

    /// Train for 8 bits: with weights and activations rounded, to answer as in floats; photos in
    /// folders of any names will do
    #[arg(long, conflicts_with_all = ["mode", "last_blocks", "full", "freeze", "feature_cache", "teacher", "names", "find_learning_rate", "batch_norm_momentum"])]
    quantization_aware: bool,

    #[command(flatten)]
    data: DataArgs,

    /// Height and width of the input, in pixels [default: the module's]
    #[arg(long, value_name = "N", alias = "image_size")]
    image_size: Option<usize>,

    /// Keep the features of photos in this folder [default: beside the checkpoints]
    #[arg(long, value_name = "DIR", alias = "bottleneck_dir", alias = "bottleneck-dir")]
    feature_cache: Option<PathBuf>,

    /// Write the names of the classes to this file too
    #[arg(long, value_name = "FILE", alias = "labels_output_file", alias = "output_labels")]
    labels_output_file: Option<PathBuf>,

    /// Write the module as TFLite to this file too
    #[arg(long, value_name = "FILE", alias = "tflite_output_file")]
    tflite_output_file: Option<PathBuf>,

    /// Exit with status 1 if the accuracy at the end is less, 0 to 1
    #[arg(long, value_name = "X", alias = "assert_accuracy_at_least")]
    assert_accuracy_at_least: Option<f64>,

    #[command(flatten)]
    learning: LearningArgs,

    #[command(flatten)]
    hub: HubArgs,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    log: LogArgs,

    #[command(flatten)]
    old: OldArgs,
}

/// Flags of make_image_classifier and retrain.py that are no other name of a flag of ours.
#[derive(Args, Debug)]
struct OldArgs {
    /// Let everything learn, or the classifier alone
    #[arg(long = "do_fine_tuning", alias = "do-fine-tuning", hide = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with_all = ["mode", "last_blocks", "full", "quantization_aware"])]
    do_fine_tuning: Option<bool>,

    /// Let the classifier alone learn
    #[arg(long = "nodo_fine_tuning", hide = true)]
    #[arg(conflicts_with_all = ["do_fine_tuning", "full", "mode", "last_blocks"])]
    nodo_fine_tuning: bool,

    /// Share of the photos to validate with: --validation-percentage, divided by 100
    #[arg(long = "validation_split", hide = true, conflicts_with = "validation_percentage")]
    validation_split: Option<f64>,

    /// Factor on the squared norm of the classifier's kernel: half of --l2
    #[arg(long = "l2_regularizer", hide = true, conflicts_with_all = ["l2", "quantization_aware"])]
    l2_regularizer: Option<f32>,

    /// Change the photos at random, or not: --augment gentle, or none
    #[arg(long = "do_data_augmentation", alias = "do-data-augmentation", hide = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), conflicts_with = "augment")]
    do_data_augmentation: Option<bool>,

    /// Do not change the photos
    #[arg(long = "nodo_data_augmentation", hide = true)]
    #[arg(conflicts_with_all = ["do_data_augmentation", "augment"])]
    nodo_data_augmentation: bool,

    /// Does nothing
    #[arg(long = "set_memory_growth", hide = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    set_memory_growth: Option<bool>,

    /// Does nothing
    #[arg(long = "test_batch_size", hide = true, allow_negative_numbers = true)]
    test_batch_size: Option<i64>,

    /// Does nothing
    #[arg(long = "validation_batch_size", hide = true, allow_negative_numbers = true)]
    validation_batch_size: Option<i64>,

    /// Does nothing
    #[arg(long = "final_tensor_name", hide = true)]
    final_tensor_name: Option<String>,

    /// Does nothing
    #[arg(long = "print_misclassified_test_images", hide = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    print_misclassified_test_images: Option<bool>,
}

impl OldArgs {
    /// Says which of the flags do nothing, and why that does no harm.
    fn tell_ignored(&self) {
        let sizes = "all photos are looked at, and how many at a time changes no accuracy";
        let ignored = [
            (
                self.set_memory_growth.is_some(),
                "--set_memory_growth",
                "it is about the memory of graphics cards, which are not used",
            ),
            (self.test_batch_size.is_some(), "--test_batch_size", sizes),
            (self.validation_batch_size.is_some(), "--validation_batch_size", sizes),
            (
                self.final_tensor_name.is_some(),
                "--final_tensor_name",
                "the module's signatures name what it gives",
            ),
            (
                self.print_misclassified_test_images == Some(true),
                "--print_misclassified_test_images",
                "`mobilenet classify` says what it takes each photo for",
            ),
        ];
        for (_, flag, why) in ignored.into_iter().filter(|(given, ..)| *given) {
            terminal::note(format_args!("note: {flag} does nothing here: {why}"));
        }
    }
}

impl FineTune {
    pub(crate) fn run(mut self) -> Outcome {
        self.old.tell_ignored();
        self.convert_old()?;
        // Made first: what cannot be written is not found out after all the training.
        let labels_file = self.labels_output_file.as_deref().map(WholeFile::create).transpose()?;
        let tflite_file = self.tflite_output_file.as_deref().map(WholeFile::create).transpose()?;
        let mut log = self.log.start();
        let mut hear = |event: &Event<'_>| log.hear(event);
        let result = if self.quantization_aware {
            let (module, job) = self.job("quantization-aware")?;
            QuantizationAwareOptions::new(job, module).train(&mut hear)
        } else {
            let options = self.options()?;
            if self.learning.find_learning_rate {
                let curve = options.test_learning_rates(Range::default(), &mut hear);
                return learning_rates(curve, log, self.log.jsonl);
            }
            options.train(&mut hear)
        };
        let skipped = log.finish()?;
        let tuned = result?;
        let Some(folder) = &tuned.module else {
            let step = tuned.outcome.progress.step;
            if step == 0 && !self.quantization_aware {
                terminal::note("the features computed so far are kept");
            }
            return Ok(stopped(step));
        };
        if let Some(file) = labels_file {
            file.write((tuned.labels.join("\n") + "\n").as_bytes())?;
        }
        if let Some(file) = tflite_file {
            let module = self.hub.options().load(&folder.to_string_lossy())?;
            file.write(&tflite(&module)?)?;
        }
        let against = if self.quantization_aware { Against::Floats } else { Against::Labels };
        crate::output::trained(&tuned, skipped, against, self.log.jsonl)?;
        terminal::note(format_args!("the module is in {}", folder.display()));
        if tuned.outcome.interrupted {
            terminal::note(
                "stopped before it was tested; for its accuracy, the same command with --resume",
            );
            return Ok(Status::Interrupted);
        }
        let reached = tuned.test.as_ref().map_or(0.0, |score| score.evaluation.top_1());
        match self.assert_accuracy_at_least {
            Some(least) if reached < least => {
                terminal::warning(format_args!("accuracy {reached:.4} is less than {least}"));
                Ok(Status::SomeFailed)
            }
            _ => Ok(Status::Good),
        }
    }

    /// Sets our flags as the old ones say that count otherwise.
    fn convert_old(&mut self) -> Result<(), Failure> {
        if let Some(fraction) = self.old.validation_split {
            self.data.validation_percentage = 100.0 * fraction;
        }
        let old = &self.old;
        if let Some(wanted) = old.do_data_augmentation.or(old.nodo_data_augmentation.then_some(false)) {
            let name = if wanted { "gentle" } else { "none" };
            self.learning.augment.augment = Some(name.to_owned());
        }
        if let Some(factor) = self.old.l2_regularizer {
            if self.mode()? != Mode::Head {
                let message = "--l2_regularizer counts the classifier's kernel alone; where more \
                    learns, --l2 counts every kernel: write --l2 with twice the number if that will do";
                return Err(Failure::new(message));
            }
            self.learning.l2 = Some(2.0 * factor);
        }
        Ok(())
    }

    fn mode(&self) -> Result<Mode, Failure> {
        match self.last_blocks {
            None if self.full || self.old.do_fine_tuning == Some(true) => Ok(Mode::Full),
            None if self.old.nodo_fine_tuning => Ok(Mode::Head),
            Some(blocks) => format!("last-blocks:{blocks}").parse().map_err(Failure::new),
            None => Ok(self.mode),
        }
    }

    fn options(&self) -> Result<FineTuneOptions, Failure> {
        let mode = self.mode()?;
        let (module, job) = self.job(if mode == Mode::Head { "head" } else { "fine-tune" })?;
        let recipe = &job.recipe;
        let changes = recipe.augmentation != "none"
            || recipe.changes != AugmentChanges::default()
            || recipe.blend.cutmix > 0.0;
        if mode == Mode::Head && changes {
            terminal::note(format_args!(
                "note: a classifier alone learns from photos as they are: flags that change them do \
                 nothing; let blocks learn too, with --mode last-blocks:N or full"
            ));
        }
        Ok(FineTuneOptions {
            job,
            module,
            mode,
            freeze: self.freeze.clone(),
            feature_cache: self.feature_cache.clone(),
        })
    }

    /// The module, and what it is trained on; `recipe` is the usual one.
    fn job(&self, recipe: &str) -> Result<(Module, Job), Failure> {
        let handle = self.module.as_deref().unwrap_or(mobilenet::PUBLISHED_HANDLE);
        let module = self.hub.options().load(handle)?;
        let recipe = self.learning.recipe(recipe)?;
        let size = match self.image_size {
            Some(size) => size,
            None => module.expected_image_size()?.0,
        };
        let job = self.data.job(&self.learning, (&self.hub, &self.run), size, recipe, 10.0)?;
        Ok((module, job))
    }
}

/// The module as TFLite: of 8 bits where it carries ranges for them.
fn tflite(module: &Module) -> Result<Vec<u8>, Failure> {
    if carries_ranges(module) {
        let no_photos = std::iter::empty();
        return Ok(quantize(module, no_photos, &QuantizeOptions::default())?.to_tflite()?);
    }
    Ok(module.to_tflite(WeightType::Float32)?)
}
