//! Environment variables that stand in for flags: one that is empty is as good as none, and an error
//! about the value of one names it.

use std::env;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// The value of a variable, unless it is empty or no text.
pub(super) fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `command` without those variables of its flags that are empty.
pub(crate) fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|v| v.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// `error`, with the variable that its value came from.
pub(super) fn named(mut error: Error, command: &Command) -> Error {
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && let Some(variable) = variable_of(flag, command)
    {
        let tip = format!("the value is that of the environment variable {variable}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The variable of a flag (as clap shows it, `--isa <NAME>`) that the command line does not have.
fn variable_of(flag: &str, command: &Command) -> Option<String> {
    let long = flag.split([' ', '=']).next()?;
    let name = long.strip_prefix("--")?;
    let given = |argument: &str| argument.split('=').next() == Some(long);
    if env::args_os().any(|argument| argument.to_str().is_some_and(given)) {
        return None;
    }
    let of = |command: &Command| {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
        Some(arg.get_env()?.to_str()?.to_owned())
    };
    of(command).or_else(|| command.get_subcommands().find_map(of))
}
