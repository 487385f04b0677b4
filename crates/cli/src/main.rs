//! The `mobilenet` command line: arguments, files and terminals on one side, the library on
//! the other. It holds no model logic; each command is one file in [`commands`].
//!
//! Data goes to stdout and everything else to stderr. Exit status: 0 all good, 1 some inputs
//! failed, 2 wrong usage or no usable module, 130 stopped by Ctrl-C.

mod ahead;
mod args;
mod commands;
mod failure;
mod inputs;
mod interrupt;
mod output;
mod progress;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    mobilenet::prefer_large_pages();
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = commands::Command::of(&arguments);
    match command.unwrap_or_else(|| args::Cli::parse_or_exit().command).run() {
        Ok(status) => status.into(),
        Err(failure) => failure.report(),
    }
}
