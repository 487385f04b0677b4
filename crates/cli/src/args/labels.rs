//! The names of the classes, in the place of the module's own.

use std::cell::OnceCell;
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
    /// What the file holds: it may be a pipe, which is read once.
    #[arg(skip)]
    parsed: OnceCell<Labels>,
}

impl LabelFileArgs {
    /// `options` with the names in the file.
    pub(super) fn apply(&self, options: ModuleOptions) -> Result<ModuleOptions, Failure> {
        let Some(path) = &self.labels else { return Ok(options) };
        if let Some(labels) = self.parsed.get() {
            return Ok(options.labels(labels.clone()));
        }
        let file = std::fs::read(path).map_err(|e| unusable(path, &e))?;
        let labels = Labels::parse(&file).map_err(|e| unusable(path, &e))?;
        Ok(options.labels(self.parsed.get_or_init(|| labels).clone()))
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
