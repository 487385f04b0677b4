//! Which module, from where, and how it runs: flags that mean the same in every command.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use mobilenet::evaluation::LabelledImages;
use mobilenet::quantize::{Candidate, carries_ranges, choose, eight_bits, is_of_8_bits};
use mobilenet::{Classifier, Isa, Module, ModuleOptions, Normalization};

use super::{LabelFileArgs, PixelArgs, Precision, environment, one_of};
use crate::failure::Failure;
use crate::progress::Download;
use crate::terminal;

/// The variable that stands in for `--module`.
const MODULE: &str = "MOBILENET_MODULE";

/// Photos that decide the ranges of 8 bits, at most.
const CALIBRATION_IMAGES: usize = 100;

/// Where modules come from.
#[derive(Args, Debug)]
#[command(next_help_heading = "Module")]
pub(crate) struct HubArgs {
    /// Use no network; fail if the module is not cached
    #[arg(long, env = "MOBILENET_OFFLINE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    pub(crate) offline: bool,

    /// Keep modules in this folder [default: the user's cache folder]
    #[arg(long, value_name = "DIR", env = "TFHUB_CACHE_DIR", hide_env_values = true)]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// How a module runs.
#[derive(Args, Debug)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunArgs {
    /// Use this many threads [default: one for each core]
    ///
    /// Results never depend on the number of threads.
    #[arg(long, value_name = "N", env = "MOBILENET_THREADS", hide_env_values = true, value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Use this instruction set [default: the best one of this processor]
    #[arg(long, value_name = "NAME", env = "MOBILENET_ISA", hide_env_values = true, value_parser = one_of::<Isa>(Isa::ALL.map(Isa::name)))]
    pub(crate) isa: Option<Isa>,

    /// Compute in this precision: f32, int8, bf16 where the processor has AVX512-BF16, or auto [default:
    /// f32]
    ///
    /// In int8 everything is rounded to 8 bits, to ranges that the module carries or photos of
    /// --calibration decide. In bf16, pointwise convolutions and the classifier round weights and
    /// inputs to bfloat16 and sum in float32; the rest stays in float32. auto is the fastest of
    /// them that loses no more than --max-loss on the photos of --calibration. Networks of 8 bits stay
    /// as they are. Training is in float32.
    #[arg(long, value_name = "NAME", env = "MOBILENET_PRECISION", hide_env_values = true)]
    pub(crate) precision: Option<Precision>,
}

fn threads(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "a whole number, at least 1")
}

/// The module to use.
#[derive(Args, Debug)]
#[command(next_help_heading = "Module")]
pub(crate) struct ModelArgs {
    /// The module: a URL, a folder, a .tar.gz, or a model file [default: embedded:default, compiled
    /// in: 200 everyday things and animals]
    #[arg(short, long, value_name = "HANDLE", env = MODULE, hide_env_values = true)]
    pub(crate) module: Option<String>,

    /// What the network inside wants subtracted from pixels of 0 to 255: one number, or red,green,blue
    /// [default: what the file says, else what `inspect` says is assumed]
    ///
    /// With --std, for files that hold the bare network and say it wrong or not at all.
    #[arg(
        long,
        value_name = "MEAN",
        value_delimiter = ',',
        allow_negative_numbers = true,
        requires = "std"
    )]
    pub(crate) mean: Vec<f32>,

    /// What the difference is then divided by [default: what the file says, else what `inspect` says is assumed]
    #[arg(long, value_name = "STD", value_delimiter = ',', requires = "mean")]
    pub(crate) std: Vec<f32>,

    /// Use the graph with exactly these tags, separated by commas [default: no tags]
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,

    /// Of a checkpoint, take the moving averages of the weights
    #[arg(long)]
    pub(crate) moving_averages: bool,

    /// Photos that decide the ranges of 8 bits, and on which --precision auto measures: a folder or
    /// .tar, with or without classes, or what else `mobilenet evaluate` takes
    #[arg(long, value_name = "DATA", alias = "calibrate")]
    pub(crate) calibration: Option<PathBuf>,

    /// What --precision auto may lose: points of top-1 accuracy where the photos' classes are the
    /// module's, else percent of photos with another likeliest class
    #[arg(long, value_name = "POINTS", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) max_loss: f64,

    #[command(flatten)]
    labels: LabelFileArgs,

    #[command(flatten)]
    pub(crate) hub: HubArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

impl HubArgs {
    /// The library's options with these flags applied.
    pub(crate) fn options(&self) -> ModuleOptions {
        let options = Module::options().offline(self.offline).progress(Download::watch());
        match &self.cache_dir {
            Some(folder) => options.cache_dir(folder),
            None => options,
        }
    }
}

impl ModelArgs {
    /// The handle asked for, or the default one.
    pub(crate) fn handle(&self) -> &str {
        self.module.as_deref().unwrap_or(mobilenet::DEFAULT_HANDLE)
    }

    /// Whether `--module` names a module, and not only its variable.
    pub(crate) fn names_module(&self) -> bool {
        self.module.is_some() && self.module != environment::value(MODULE)
    }

    /// The library's options with these flags applied.
    pub(crate) fn options(&self) -> Result<ModuleOptions, Failure> {
        let mut options = self.hub.options().tags(self.tags.iter().cloned());
        options = options.moving_averages(self.moving_averages);
        if !self.mean.is_empty() {
            options = options.normalization(Normalization::from_slices(&self.mean, &self.std)?);
        }
        if let Some(threads) = self.run.threads {
            options = options.threads(threads.get());
        }
        if let Some(isa) = self.run.isa {
            options = options.isa(isa);
        }
        if let Some(Precision::Floats(precision)) = self.run.precision {
            options = options.precision(precision);
        }
        self.labels.apply(options)
    }

    /// Fetches if needed, and opens the module.
    pub(crate) fn open(&self) -> Result<Module, Failure> {
        self.open_handle(self.handle())
    }

    /// As [`Self::open`], for a command that prepares photos as `pixels` says: those that decide the
    /// precision are prepared alike.
    pub(crate) fn open_for(&self, pixels: &PixelArgs) -> Result<Module, Failure> {
        self.opened(self.handle(), Some(pixels))
    }

    /// As [`Self::open`], for another handle than that of `--module`.
    pub(crate) fn open_handle(&self, handle: &str) -> Result<Module, Failure> {
        self.opened(handle, None)
    }

    /// As [`Self::open_handle`], for a command that prepares photos.
    pub(crate) fn opened(
        &self,
        handle: &str,
        pixels: Option<&PixelArgs>,
    ) -> Result<Module, Failure> {
        let loaded = self.options()?.load(handle).map_err(|error| self.labels.blame(error))?;
        let module = self.rounded(loaded, pixels)?;
        for note in module.notes() {
            terminal::note(format_args!("note: {note}"));
        }
        // Never taken apart: the process ends with the command, and the system frees its memory
        // all at once, sooner than a thousand nodes one by one.
        std::mem::forget(module.clone());
        Ok(module)
    }

    /// The classifier of the module, which sees photos as the flags say.
    pub(crate) fn classifier(&self, pixels: &PixelArgs) -> Result<Classifier, Failure> {
        let module = self.open_for(pixels)?;
        let options = Classifier::options().preprocessing(pixels.preprocessing(&module)?);
        options.build(module).map_err(|error| self.labels.blame(error))
    }

    /// The module in the precision asked for, where that takes more than loading it.
    fn rounded(&self, module: Module, pixels: Option<&PixelArgs>) -> Result<Module, Failure> {
        let wanted = self.run.precision;
        if !matches!(wanted, Some(Precision::Int8 | Precision::Auto)) {
            return Ok(module);
        }
        let photos = self.calibration.as_deref().map(LabelledImages::open_any).transpose()?;
        let options = self.options()?;
        let by = match pixels {
            Some(pixels) => pixels.preprocessing(&module)?,
            None => module.preprocessing()?,
        };
        if wanted == Some(Precision::Int8) {
            if photos.is_none() && !carries_ranges(&module) && !is_of_8_bits(&module) {
                return Err(Failure::new(
                    "the module carries no ranges for int8: --calibration names photos that decide them",
                ));
            }
            return Ok(eight_bits(&module, &options, &by, photos.as_ref(), CALIBRATION_IMAGES)?);
        }
        let photos = photos.ok_or_else(|| {
            Failure::new("--precision auto needs photos to measure on: --calibration names them")
        })?;
        let most = self.max_loss / 100.0;
        let choice = choose(&module, &options, &by, &photos, CALIBRATION_IMAGES, most)?;
        let of = if choice.by_label { "points of top-1" } else { "percent of photos" };
        let tried = choice.candidates.iter().map(|Candidate { precision, time, loss }| {
            format!("{precision} ({} us) loses {:.2} {of}", time.as_micros(), 100.0 * loss)
        });
        let tried: Vec<String> = tried.collect();
        terminal::note(format_args!("note: {}; the last is used", tried.join(", ")));
        Ok(choice.module)
    }
}
