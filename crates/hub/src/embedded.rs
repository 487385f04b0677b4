//! Modules that the program brings along: the resolver of `embedded:NAME`.
//!
//! Which there are, the options say; this crate holds no weights.

use mobilenet_formats as formats;

use crate::handle::Place;
use crate::local::of_archive;
use crate::module::ModuleDir;
use crate::resolve::{Hub, Outcome};
use crate::{Error, ErrorKind, Handle, Result};

/// Why any other handle is none of the business of the resolver here.
pub(crate) const NOT_EMBEDDED: &str = "not `embedded:`";

/// A module inside the program.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// Its name, behind `embedded:`.
    pub name: &'static str,
    /// A `.tar` or `.tar.gz` of its folder.
    pub archive: &'static [u8],
}

/// A module that the program brings along.
pub(crate) fn find(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    let Place::Embedded(name) = handle.place() else {
        return Ok(Outcome::Declined(NOT_EMBEDDED));
    };
    let options = hub.options();
    let Some(found) = options.embedded.iter().find(|embedded| embedded.name == name) else {
        let names: Vec<_> = options.embedded.iter().map(|embedded| embedded.name).collect();
        let there = match names.as_slice() {
            [] => "there are none".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let message = format!("no embedded module is called {name:?}; {there}");
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let files = formats::archive::read(found.archive, &options.limits)
        .map_err(|error| Error::from(error.within(handle.as_str().to_owned())))?;
    of_archive(ModuleDir::memory(handle.clone(), files)).map(Outcome::Found)
}
