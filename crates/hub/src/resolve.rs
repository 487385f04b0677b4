//! [`Hub`]: the resolvers, tried in turn by one table.
//!
//! A new kind of handle is one function and one line of [`RESOLVERS`].

use std::sync::Arc;

use crate::error::Attempt;
use crate::module::ModuleDir;
use crate::options::HubOptions;
use crate::{Error, Handle, Result, local};

/// What a resolver has to say about a handle, if nothing went wrong.
pub(crate) enum Outcome {
    Found(ModuleDir),
    /// The handle is none of the resolver's business; why.
    Declined(&'static str),
}

struct Resolver {
    name: &'static str,
    resolve: fn(&Hub, &Handle) -> Result<Outcome>,
}

/// In the order they are tried.
const RESOLVERS: &[Resolver] = &[Resolver { name: "folder", resolve: local::folder }];

/// Turns handles into modules. Cheap to make, cheap to clone, safe to share.
///
/// Making one reads no file and opens no connection.
///
/// ```no_run
/// use mobilenet_hub::{Handle, Hub, HubOptions};
///
/// let hub = Hub::new(HubOptions::from_env()?)?;
/// let module = hub.resolve(&Handle::parse("https://example.com/mobilenet_v1_025_192/1.tar.gz")?)?;
/// println!("{} in {:?}", module.checksum()?, module.path());
/// # Ok::<(), mobilenet_hub::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: HubOptions,
}

impl Hub {
    /// A hub with these options.
    ///
    /// # Errors
    /// None today; an option that cannot be honoured would be one.
    pub fn new(options: HubOptions) -> Result<Self> {
        Ok(Hub(Arc::new(Inner { options })))
    }

    /// The options it was made with.
    pub fn options(&self) -> &HubOptions {
        &self.0.options
    }

    /// The module behind `handle`: complete, verified, and on this machine.
    ///
    /// Blocks while another thread or process downloads the same module, then uses its result.
    ///
    /// # Errors
    /// When no resolver has it. [`Error::attempts`] lists them all with their reasons, and
    /// [`Error::kind`] is that of the last failure.
    pub fn resolve(&self, handle: &Handle) -> Result<ModuleDir> {
        let mut attempts = Vec::new();
        for &Resolver { name: resolver, resolve } in RESOLVERS {
            let (reason, failure) = match resolve(self, handle) {
                Ok(Outcome::Found(module)) => return Ok(module),
                Ok(Outcome::Declined(reason)) => (reason.to_owned(), None),
                Err(error) => (error.to_string(), Some(error.kind())),
            };
            attempts.push(Attempt { resolver, reason, failure });
        }
        Err(Error::unresolved(handle.as_str(), attempts))
    }
}
