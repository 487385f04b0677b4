//! `mobilenet man`: the manual pages, in roff.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};

use crate::args::Cli;
use crate::failure::{Failure, Outcome, Status};

const EXAMPLES: &str = "\
Examples:
  mobilenet man | man -l -                      Read the main page now
  mobilenet man --out ~/.local/share/man/man1   Write a page for each command";

/// Print the manual page, or write the pages of all commands
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Man {
    /// Write mobilenet.1, mobilenet-classify.1, … into this folder
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Outcome {
        match self.out {
            Some(folder) => write_pages(&folder)?,
            None => io::stdout().write_all(&page(Cli::command())?)?,
        }
        Ok(Status::Good)
    }
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

fn write_pages(folder: &Path) -> Result<(), Failure> {
    let write = || {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().map_err(|e| Failure::io(format!("cannot write to {}", folder.display()), &e))
}
