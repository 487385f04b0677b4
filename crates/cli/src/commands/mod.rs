//! The table of commands. A command is one file with one `clap::Args` struct and its `run`,
//! and one line here.

use clap::Subcommand;

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
