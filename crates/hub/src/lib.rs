//! Handles, downloads and the module cache of mobilenet.
//!
//! A [`Handle`] names a module; a [`Hub`] resolves it to a [`ModuleDir`], whose files
//! `mobilenet-formats` decodes. Sockets and the cache folder are known here and nowhere else;
//! what the files mean is not. Nothing here prints: watch a [`Progress`] instead.

mod cache;
mod complete;
mod digest;
mod download;
mod embedded;
mod error;
mod forms;
mod handle;
mod hex;
mod http;
mod install;
mod layout;
mod local;
mod lock;
mod manifest;
mod module;
mod options;
mod partial;
mod progress;
mod remote;
mod resolve;
mod store;
mod url;

pub use cache::{Cache, CacheEntry, EntryState};
pub use embedded::Embedded;
pub use error::{Attempt, Error, ErrorKind, Result};
pub use handle::Handle;
pub use mobilenet_formats::Limits;
pub use module::{Checksum, ModuleDir, ModuleFile};
pub use options::{Endpoints, HubOptions, ProgressCallback, Redirects, Timeouts, Verify};
pub use progress::Progress;
pub use resolve::Hub;
