//! A module with its labels and preprocessing, as commands that name classes take it.

use std::path::{Path, PathBuf};

use clap::Args;
use mobilenet::{Classifier, ErrorKind, Labels};

use super::{ModelArgs, PixelArgs};
use crate::failure::{Failure, chain};

/// The names of the classes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Labels")]
pub(crate) struct LabelFileArgs {
    /// Names of the classes, one a line [default: the module's own, or ImageNet's]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl LabelFileArgs {
    /// The classifier of the module that `model` names, with everything as the flags say.
    pub(crate) fn classifier(
        &self,
        model: &ModelArgs,
        pixels: &PixelArgs,
    ) -> Result<Classifier, Failure> {
        let module = model.open_for(pixels)?;
        let mut options = Classifier::options().preprocessing(pixels.preprocessing(&module)?);
        if let Some(path) = &self.labels {
            options = options.labels(read(path)?);
        }
        options.build(module).map_err(|error| match (&self.labels, error.kind()) {
            (Some(path), ErrorKind::Labels) => unusable(path, &error),
            _ => error.into(),
        })
    }
}

fn read(path: &Path) -> Result<Labels, Failure> {
    let file = std::fs::read(path).map_err(|e| unusable(path, &e))?;
    Labels::parse(&file).map_err(|e| unusable(path, &e))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot use the labels {}: {}", path.display(), chain(error)))
}
