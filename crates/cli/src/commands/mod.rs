//! The table of commands. A command is one file with one `clap::Args` struct and its `run`,
//! and one line here.

use std::ffi::OsString;

use clap::{Args as _, FromArgMatches as _, Subcommand};

use crate::args::without_empty_variables;
use crate::failure::Outcome;

macro_rules! commands {
    ($($file:ident: $name:ident,)*) => {
        $(mod $file;)*

        /// What to do.
        #[derive(Debug, Subcommand)]
        #[allow(clippy::large_enum_variant, reason = "there is one, made once")]
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
                    let flags = without_empty_variables(flags);
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
    kernels: Kernels,
    tune: Tune,
    train: Train,
    convert: Convert,
    list: List,
    fine_tune: FineTune,
    fetch: Fetch,
    cache: Cache,
    completions: Completions,
    man: Man,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Option<Command> {
        let arguments: Vec<OsString> =
            ["mobilenet"].iter().chain(arguments).map(OsString::from).collect();
        Command::of(&arguments)
    }

    #[test]
    fn a_command_is_made_alone_where_there_is_nothing_to_say() {
        assert!(matches!(of(&["classify", "-n", "1", "a.jpg"]), Some(Command::Classify(_))));
        assert!(matches!(
            of(&["fine-tune", "--data", "d", "--out", "o"]),
            Some(Command::FineTune(_))
        ));
        assert!(matches!(of(&["cache", "list"]), Some(Command::Cache(_))));
    }

    #[test]
    fn errors_and_help_are_left_to_the_whole_command_line() {
        let others: [&[&str]; 7] = [
            &[],
            &["classify"],
            &["classify", "--help"],
            &["classify", "--no-such-flag", "a.jpg"],
            &["--help"],
            &["help", "classify"],
            &["fine_tune", "--data", "d", "--out", "o"],
        ];
        for arguments in others {
            assert!(of(arguments).is_none(), "{arguments:?}");
        }
    }
}
