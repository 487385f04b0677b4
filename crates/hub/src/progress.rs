//! [`Progress`]: what a download reports to its caller, who may draw a bar of it.

use std::time::Duration;

/// One step on the way from a handle to a module.
///
/// ```
/// use std::sync::Arc;
/// use mobilenet_hub::{HubOptions, Progress};
///
/// let mut options = HubOptions::default();
/// options.progress = Some(Arc::new(|step| {
///     if let Progress::Downloading { received, total: Some(total), .. } = step {
///         eprintln!("{received} of {total} bytes");
///     }
/// }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Another process has the lock of the module; reported once.
    Waiting {
        /// The handle that is waited for.
        handle: &'a str,
        /// Host and process id of the other process, where known.
        holder: &'a str,
    },
    /// A cached module was found damaged and will be downloaded again.
    Repairing {
        /// The handle of the module.
        handle: &'a str,
        /// What is wrong with its files.
        reason: &'a str,
    },
    /// A request is being sent.
    Connecting {
        /// Where to.
        url: &'a str,
    },
    /// Bytes arrived; reported for every block, first with the bytes of an earlier attempt.
    Downloading {
        /// Where from.
        url: &'a str,
        /// Bytes of the archive so far.
        received: u64,
        /// Bytes of the whole archive, when the server tells.
        total: Option<u64>,
    },
    /// An attempt failed and there will be another.
    Retrying {
        /// Where to.
        url: &'a str,
        /// What went wrong.
        reason: &'a str,
        /// How long until then.
        pause: Duration,
    },
    /// The archive is complete and is being unpacked.
    Unpacking {
        /// Bytes of the archive.
        bytes: u64,
    },
    /// The module is in the cache.
    Done {
        /// The handle of the module.
        handle: &'a str,
    },
}
