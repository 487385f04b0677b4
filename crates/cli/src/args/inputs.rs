//! Which files a command works on: the arguments that name them.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::inputs::{Inputs, Kind};

/// Input files, as given.
#[derive(Args, Debug)]
pub(crate) struct InputArgs {
    /// Images, folders (with -r), quoted globs like 'in/**/*.jpg', or - for a list of paths
    ///
    /// JPEG, PNG, WebP, GIF (first frame), BMP and TIFF are recognised by content. A single -
    /// reads paths from stdin, one a line, and starts before the list ends. Files of a folder come
    /// in the order of their paths; where there are more than 4096, so many at a time, and the
    /// first of them start at once. The same holds for a glob in one folder, like 'in/*.jpg'.
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Look into folders, and the folders in them
    ///
    /// Files are picked by their ending; hidden files and links to folders are left out.
    #[arg(short, long)]
    recursive: bool,

    /// Paths on stdin end with NUL instead of a newline (as from `find -print0`)
    #[arg(short = '0', long)]
    null: bool,

    /// No progress bar
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl InputArgs {
    /// The first input, as given.
    pub(crate) fn first(&self) -> Option<&Path> {
        self.inputs.first().map(PathBuf::as_path)
    }

    /// The stream of paths, in the order given. Nothing is opened yet.
    pub(crate) fn stream(&self, kind: Kind) -> Inputs {
        let separator = if self.null { 0 } else { b'\n' };
        Inputs::new(self.inputs.clone(), self.recursive, separator, kind)
    }
}
