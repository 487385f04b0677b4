//! The table of commands. A command is one file with one `clap::Args` struct and its `run`,
//! and one line here.

use std::ffi::OsString;

use clap::{Args as _, FromArgMatches as _, Subcommand};

use crate::failure::Outcome;

macro_rules! commands {
    ($($file:ident: $name:ident,)*) => {
        $(mod $file;)*

        /// What to do.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $($name($file::$name),)*
        }

        impl Command {
            /// The command that these arguments name first, if there is nothing to say about them:
            /// no error, no help. The flags of the other commands are never made, which takes
            /// longer than most of what comes after.
            pub(crate) fn of(arguments: &[OsString]) -> Option<Command> {
                let name = arguments.get(1)?.to_str()?;
                $(if name == stringify!($file).replace('_', "-") {
                    let flags = $file::$name::augment_args(clap::Command::new("mobilenet"));
                    let matches = flags.try_get_matches_from(arguments.get(1..)?).ok()?;
                    return $file::$name::from_arg_matches(&matches).ok().map(Command::$name);
                })*
                None
            }

            /// Does it.
            pub(crate) fn run(self) -> Outcome {
                match self {
                    $(Command::$name(command) => command.run(),)*
                }
            }
        }
    };
}

commands! {
    classify: Classify,
    embed: Embed,
    evaluate: Evaluate,
    explain: Explain,
    inspect: Inspect,
    quantize: Quantize,
    bench: Bench,
    train: Train,
    convert: Convert,
    list: List,
    fine_tune: FineTune,
    fetch: Fetch,
    cache: Cache,
    completions: Completions,
    man: Man,
}
