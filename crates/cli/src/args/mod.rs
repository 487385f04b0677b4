//! The command line as clap sees it: the top level, and the groups of flags that mean the
//! same in every command. What a group means for the library is decided once, in the group's
//! own file; commands only see the result.

mod augment;
mod data;
mod environment;
mod inputs;
mod labels;
mod learning;
mod log;
mod model;
mod pixels;
mod precision;
mod schedule;
mod teacher;

pub(crate) use augment::AugmentArgs;
pub(crate) use data::DataArgs;
pub(crate) use environment::without_empty_variables;
pub(crate) use inputs::InputArgs;
use labels::LabelFileArgs;
pub(crate) use learning::LearningArgs;
pub(crate) use log::LogArgs;
pub(crate) use model::{HubArgs, ModelArgs, RunArgs};
pub(crate) use pixels::PixelArgs;
pub(crate) use precision::Precision;
use schedule::ScheduleArgs;
use teacher::TeacherArgs;

use std::error::Error;
use std::str::FromStr;

use anstyle::AnsiColor;
use clap::builder::{PossibleValue, PossibleValuesParser, Styles, TypedValueParser};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::terminal;

const STYLES: Styles = Styles::styled()
    .header(terminal::HEADING)
    .usage(terminal::HEADING)
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(terminal::NAME)
    .error(terminal::ERROR)
    .valid(terminal::GOOD)
    .invalid(terminal::WARNING);

/// Takes one of `values`, which --help lists.
pub(crate) fn one_of<T>(
    values: impl IntoIterator<Item = impl Into<PossibleValue>>,
) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(values).try_map(|name| name.parse())
}

/// A value and its line of help.
fn value(name: &'static str, help: &'static str) -> PossibleValue {
    PossibleValue::new(name).help(help)
}

const AFTER_HELP: &str = "\
Examples:
  mobilenet classify photo.jpg                        What does this photo show?
  mobilenet classify -r holiday --jsonl > all.jsonl   A folder, one JSON object an image
  mobilenet embed *.jpg --out vectors.npy             Feature vectors for NumPy
  mobilenet inspect                                   What is inside the module?

`mobilenet help COMMAND` explains a command, with examples.
Data is printed to stdout, everything else to stderr.
Exit status: 0 all good, 1 some inputs failed, 2 wrong usage or no usable module.";

/// Classify photos and compute feature vectors with MobileNet V1 modules from TensorFlow Hub.
///
/// No TensorFlow needed. A module is fetched once, verified and cached; after that no network
/// is used.
#[derive(Debug, Parser)]
#[command(name = "mobilenet", version, styles = STYLES, after_help = AFTER_HELP)]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line of this process; where there is something to say about it, that is said and
    /// the process ends.
    pub(crate) fn parse_or_exit() -> Cli {
        let mut command = without_empty_variables(Cli::command());
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        parsed.unwrap_or_else(|error| environment::named(error, &command).exit())
    }
}
