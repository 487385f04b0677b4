//! [`HubOptions`] and its parts: everything a caller or the environment can set.
//!
//! Values only; what they mean is done in `resolve`, `cache`, `download` and `http`.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use etcetera::AppStrategy as _;
use mobilenet_formats::Limits;

use crate::embedded::Embedded;
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result};

/// What is called with every step of a download; it must return soon.
pub type ProgressCallback = Arc<dyn Fn(&Progress<'_>) + Send + Sync>;

/// How a [`Hub`](crate::Hub) resolves handles.
///
/// `Default` looks at nothing but this table; [`HubOptions::from_env`] reads TensorFlow Hub's
/// environment variables too.
///
/// ```
/// use mobilenet_hub::{Hub, HubOptions};
///
/// let cache = std::env::temp_dir().join("mobilenet-doc");
/// let hub = Hub::new(HubOptions { cache_dir: Some(cache), offline: true, ..Default::default() })?;
/// # Ok::<(), mobilenet_hub::Error>(())
/// ```
#[derive(Clone)]
pub struct HubOptions {
    /// The cache folder. `None` is `TFHUB_CACHE_DIR` and, where that is not set, a folder of the
    /// platform's cache (`~/.cache/mobilenet/modules` on Linux) that survives a restart.
    pub cache_dir: Option<PathBuf>,
    /// Never open a connection: what is not in the cache is an error.
    pub offline: bool,
    /// What to check of a cached module before it is used.
    pub verify: Verify,
    /// Limits on what an archive may hold.
    pub limits: Limits,
    /// Most bytes of one download. Default 1 GiB.
    pub download_bytes: u64,
    /// When to give a connection up.
    pub timeouts: Timeouts,
    /// How often a download is tried again after a failure that may pass. Default 4.
    pub retries: u32,
    /// The pause before the first retry; it doubles with each. Default half a second.
    pub retry_pause: Duration,
    /// How long to wait for another process that downloads the same module. Default an hour.
    pub lock_wait: Duration,
    /// Age at which a lock of TensorFlow Hub counts as left behind when its temporary folder
    /// stopped growing. Default ten minutes, as TensorFlow Hub has it.
    pub stale_lock: Duration,
    /// Which redirects are followed.
    pub redirects: Redirects,
    /// Whether servers must prove who they are. Default true.
    pub check_certificates: bool,
    /// Addresses of the hubs, for mirrors.
    pub endpoints: Endpoints,
    /// Modules that the program brings along, found as `embedded:NAME`. Default none.
    pub embedded: &'static [Embedded],
    /// User name and key for Kaggle, sent to [`Endpoints::kaggle`] only.
    pub kaggle_credentials: Option<(String, String)>,
    /// Called with every step of a download; this crate itself never prints.
    pub progress: Option<ProgressCallback>,
    /// Whether the environment asks for a progress display (`TFHUB_DOWNLOAD_PROGRESS`); a hint to
    /// the caller, without effect here.
    pub show_progress: bool,
}

/// How thoroughly a cached module is checked when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Every file has the size and modification time it had when its checksum was last verified;
    /// a file that differs is hashed. Costs one `stat` per file.
    #[default]
    Changed,
    /// Every file is hashed.
    All,
}

/// When to give a connection up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For name, connection and TLS handshake. Default 30 seconds.
    pub connect: Duration,
    /// For the next bytes of an answer. Default 60 seconds.
    pub idle: Duration,
    /// For one whole request, however steadily it flows. Default none.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timeouts { connect: seconds(30), idle: seconds(60), total: None }
    }
}

/// Which redirects are followed; only ever to `http` and `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirects {
    /// Most redirects of one request. Default 10.
    pub limit: u32,
    /// Whether `https` may lead to `http`. Default false.
    pub allow_downgrade: bool,
    /// Whether a public host may lead to this machine or a private address. Default false.
    pub allow_private: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Redirects { limit: 10, allow_downgrade: false, allow_private: false }
    }
}

/// Addresses of the hubs, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Kaggle's. Default `https://www.kaggle.com`.
    pub kaggle: String,
    /// The storage behind tfhub.dev. Default `https://storage.googleapis.com/tfhub-modules`.
    pub tfhub_storage: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Endpoints {
            kaggle: "https://www.kaggle.com".into(),
            tfhub_storage: "https://storage.googleapis.com/tfhub-modules".into(),
        }
    }
}

impl Default for HubOptions {
    fn default() -> Self {
        HubOptions {
            cache_dir: None,
            offline: false,
            verify: Verify::default(),
            limits: Limits::default(),
            download_bytes: 1 << 30,
            timeouts: Timeouts::default(),
            retries: 4,
            retry_pause: Duration::from_millis(500),
            lock_wait: Duration::from_secs(3600),
            stale_lock: Duration::from_secs(600),
            redirects: Redirects::default(),
            check_certificates: true,
            endpoints: Endpoints::default(),
            embedded: &[],
            kaggle_credentials: None,
            progress: None,
            show_progress: false,
        }
    }
}

impl HubOptions {
    /// The defaults with TensorFlow Hub's and Kaggle's environment variables applied.
    ///
    /// | variable | effect |
    /// |---|---|
    /// | `TFHUB_CACHE_DIR` | the cache folder |
    /// | `TFHUB_DOWNLOAD_PROGRESS` | any value but empty: [`show_progress`](Self::show_progress) |
    /// | `TFHUB_MODEL_LOAD_FORMAT` | `COMPRESSED`, `AUTO` and `UNCOMPRESSED` all download the compressed archive, which holds the same files; any other value is an error |
    /// | `TFHUB_DISABLE_CERT_VALIDATION` | `true`: servers need not prove who they are |
    /// | `KAGGLE_USERNAME`, `KAGGLE_KEY` | credentials for Kaggle |
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a value that means nothing.
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        check_load_format(var("TFHUB_MODEL_LOAD_FORMAT"))?;
        let insecure = var("TFHUB_DISABLE_CERT_VALIDATION")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok(HubOptions {
            cache_dir: var("TFHUB_CACHE_DIR").map(PathBuf::from),
            show_progress: var("TFHUB_DOWNLOAD_PROGRESS").is_some(),
            check_certificates: !insecure,
            kaggle_credentials: var("KAGGLE_USERNAME").zip(var("KAGGLE_KEY")),
            ..Default::default()
        })
    }

    /// The cache folder these options stand for.
    pub(crate) fn resolved_cache_dir(&self) -> PathBuf {
        let set = || env::var_os("TFHUB_CACHE_DIR").filter(|dir| !dir.is_empty());
        match &self.cache_dir {
            Some(dir) => dir.clone(),
            None => set().map_or_else(platform_cache_dir, PathBuf::from),
        }
    }

    pub(crate) fn report(&self, progress: &Progress<'_>) {
        if let Some(callback) = &self.progress {
            callback(progress);
        }
    }
}

/// A cache folder that survives a restart; without a home folder, TensorFlow Hub's own default.
fn platform_cache_dir() -> PathBuf {
    let name = etcetera::AppStrategyArgs {
        top_level_domain: String::new(),
        author: String::new(),
        app_name: "mobilenet".into(),
    };
    match etcetera::app_strategy::choose_native_strategy(name) {
        Ok(strategy) => strategy.cache_dir().join("modules"),
        Err(_) => env::temp_dir().join("tfhub_modules"),
    }
}

fn check_load_format(value: Option<String>) -> Result<()> {
    match value.as_deref() {
        None | Some("COMPRESSED" | "UNCOMPRESSED" | "AUTO") => Ok(()),
        Some(value) => Err(Error::new(
            ErrorKind::InvalidOption,
            format!("TFHUB_MODEL_LOAD_FORMAT is `{}`", value.escape_debug()),
        )
        .hint("it can be COMPRESSED, UNCOMPRESSED or AUTO")),
    }
}

impl fmt::Debug for HubOptions {
    /// Without the Kaggle key and the callback.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache_dir", &self.cache_dir)
            .field("offline", &self.offline)
            .field("verify", &self.verify)
            .field("limits", &self.limits)
            .field("download_bytes", &self.download_bytes)
            .field("timeouts", &self.timeouts)
            .field("retries", &self.retries)
            .field("redirects", &self.redirects)
            .field("check_certificates", &self.check_certificates)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<HubOptions> {
        let find = |name: &str| vars.iter().find(|(key, _)| *key == name);
        HubOptions::from_vars(|name| find(name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn tensorflow_hubs_variables_are_honoured() {
        let options = from(&[
            ("TFHUB_CACHE_DIR", "/cache"),
            ("TFHUB_DOWNLOAD_PROGRESS", "1"),
            ("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED"),
            ("TFHUB_DISABLE_CERT_VALIDATION", "true"),
            ("KAGGLE_USERNAME", "me"),
            ("KAGGLE_KEY", "secret"),
        ])
        .unwrap();
        assert_eq!(options.resolved_cache_dir(), PathBuf::from("/cache"));
        assert!(options.show_progress && !options.check_certificates);
        assert_eq!(options.kaggle_credentials, Some(("me".into(), "secret".into())));
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn an_unknown_load_format_is_an_error() {
        let error = from(&[("TFHUB_MODEL_LOAD_FORMAT", "zip")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
    }

    #[test]
    fn the_default_cache_is_not_in_the_temporary_folder() {
        if env::var_os("HOME").is_some() && env::var_os("XDG_CACHE_HOME").is_none() {
            assert!(!platform_cache_dir().starts_with(env::temp_dir()));
        }
    }
}
