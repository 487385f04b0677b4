//! The names of the classes, in the place of the module's own.

use std::path::{Path, PathBuf};

use clap::Args;
use mobilenet::{ErrorKind, Labels, ModuleOptions};

use crate::failure::{Failure, chain};

/// The names of the classes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Labels")]
pub(super) struct LabelFileArgs {
    /// Names of the classes, one a line [default: the module's own, or ImageNet's]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl LabelFileArgs {
    /// `options` with the names in the file.
    pub(super) fn apply(&self, options: ModuleOptions) -> Result<ModuleOptions, Failure> {
        let Some(path) = &self.labels else { return Ok(options) };
        let file = std::fs::read(path).map_err(|e| unusable(path, &e))?;
        Ok(options.labels(Labels::parse(&file).map_err(|e| unusable(path, &e))?))
    }

    /// Puts an error into words: one about labels is about the file, if there is one.
    pub(super) fn blame(&self, error: mobilenet::Error) -> Failure {
        match (&self.labels, error.kind()) {
            (Some(path), ErrorKind::Labels) => unusable(path, &error),
            _ => error.into(),
        }
    }
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot use the labels {}: {}", path.display(), chain(error)))
}
