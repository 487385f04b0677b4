//! [`Hub`]: the resolvers, tried in turn by one table.
//!
//! A new kind of handle is one function and one line of [`RESOLVERS`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Attempt;
use crate::http::Client;
use crate::layout::Layout;
use crate::module::ModuleDir;
use crate::options::{Endpoints, HubOptions};
use crate::url::Url;
use crate::{Error, ErrorKind, Handle, Result, embedded, forms, local, remote};

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
const RESOLVERS: &[Resolver] = &[
    Resolver { name: "folder", resolve: local::folder },
    Resolver { name: "archive file", resolve: local::archive },
    Resolver { name: "model file", resolve: local::file },
    Resolver { name: "embedded", resolve: embedded::find },
    Resolver { name: "cache", resolve: remote::cached },
    Resolver { name: "file URL", resolve: |hub, url| remote::fetch(hub, url, forms::file) },
    Resolver { name: "Kaggle", resolve: |hub, url| remote::fetch(hub, url, forms::kaggle) },
    Resolver { name: "hub URL", resolve: |hub, url| remote::fetch(hub, url, forms::hub) },
    Resolver { name: "tfhub.dev", resolve: |hub, url| remote::fetch(hub, url, forms::storage) },
];

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
    cache: PathBuf,
    client: Client,
}

impl Hub {
    /// A hub with these options.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for an endpoint that is no URL.
    pub fn new(options: HubOptions) -> Result<Self> {
        let Endpoints { kaggle, tfhub_storage } = &options.endpoints;
        for endpoint in [kaggle, tfhub_storage] {
            Url::parse(endpoint).map_err(|error| {
                Error::new(ErrorKind::InvalidOption, format!("endpoint `{endpoint}`: {error}"))
            })?;
        }
        let cache = options.resolved_cache_dir();
        Ok(Hub(Arc::new(Inner { options, cache, client: Client::default() })))
    }

    /// The options it was made with.
    pub fn options(&self) -> &HubOptions {
        &self.0.options
    }

    /// The folder downloaded modules are kept in; it need not exist yet.
    pub fn cache_dir(&self) -> &Path {
        &self.0.cache
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn layout(&self, handle: &Handle) -> Layout {
        Layout::new(&self.0.cache, handle.cache_key())
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
