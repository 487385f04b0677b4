//! How a command ends: the exit status, and the one place where an error is put into words
//! on stderr. Errors of single inputs are not here; they are part of a command's output.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::terminal;

/// How a command that ran to its end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Every input was handled.
    Good,
    /// Some inputs failed; each was reported and the rest went on.
    SomeFailed,
    /// Ctrl-C: what was finished was written.
    Interrupted,
}

impl Status {
    /// The status of a run in which `failed` inputs failed.
    pub(crate) fn of_failures(failed: usize) -> Status {
        if failed == 0 { Status::Good } else { Status::SomeFailed }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        match status {
            Status::Good => ExitCode::SUCCESS,
            Status::SomeFailed => ExitCode::from(1),
            Status::Interrupted => ExitCode::from(130),
        }
    }
}

/// Why a command could not do its work at all.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage, no usable module, or an output that cannot be written.
    Fatal {
        /// What went wrong, and where.
        message: String,
        /// What to do about it, if known.
        hint: Option<String>,
    },
    /// The reader of our output went away (`| head`): end quietly.
    BrokenPipe,
}

/// What a command returns.
pub(crate) type Outcome = Result<Status, Failure>;

impl Failure {
    /// A failure with nothing known to be done about it.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure::Fatal { message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(self, text: impl Into<String>) -> Failure {
        match self {
            Failure::Fatal { message, .. } => Failure::Fatal { message, hint: Some(text.into()) },
            Failure::BrokenPipe => Failure::BrokenPipe,
        }
    }

    /// Says first what came of it.
    pub(crate) fn within(self, what: impl Display) -> Failure {
        match self {
            Failure::Fatal { message, hint } => {
                Failure::Fatal { message: format!("{what}: {message}"), hint }
            }
            Failure::BrokenPipe => Failure::BrokenPipe,
        }
    }

    /// An input or output error, with what was being done.
    pub(crate) fn io(doing: impl Display, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::new(format!("{doing}: {error}")),
        }
    }

    /// Prints the failure to stderr and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Failure::BrokenPipe => ExitCode::SUCCESS,
            Failure::Fatal { message, hint } => {
                terminal::error(message);
                if let Some(hint) = hint {
                    terminal::hint(hint);
                }
                ExitCode::from(2)
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::io("cannot write the output", &error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::from(io::Error::from(error))
    }
}

impl From<csv::Error> for Failure {
    fn from(error: csv::Error) -> Failure {
        Failure::from(io::Error::from(error))
    }
}

impl From<mobilenet::Error> for Failure {
    fn from(error: mobilenet::Error) -> Failure {
        Failure::new(chain(&error))
    }
}

/// An error with its causes, one line: `outer: inner: innermost`, nothing said twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
