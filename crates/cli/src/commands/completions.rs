//! `mobilenet completions SHELL`: the script that makes a shell complete our arguments.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Outcome, Status};

const EXAMPLES: &str = "\
Examples:
  mobilenet completions bash > ~/.local/share/bash-completion/completions/mobilenet
  mobilenet completions zsh > ~/.zfunc/_mobilenet
  mobilenet completions fish > ~/.config/fish/completions/mobilenet.fish
  mobilenet completions powershell >> $PROFILE";

/// Print a shell's completion script
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mobilenet", &mut script);
        io::stdout().write_all(&script)?;
        Ok(Status::Good)
    }
}
