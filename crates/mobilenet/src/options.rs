//! [`ModuleOptions`]: how a module is found and run, before it is loaded.

use std::path::PathBuf;
use std::sync::Arc;

use mobilenet_formats::{Limits, MemoryFiles};
use mobilenet_hub::{Handle, Hub, HubOptions, ModuleDir, Progress};
use mobilenet_kernels::{Isa, Precision};
use mobilenet_vision::Labels;

use crate::embedded::EMBEDDED;
use crate::error::Result;
use crate::module::Module;
use crate::normalization::Normalization;
use crate::tuning::TuningFile;

/// How to find, read and run a module.
///
/// ```no_run
/// use mobilenet::Module;
///
/// let module = Module::options().tags(["train"]).threads(2).offline(true).load("1.tar.gz")?;
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ModuleOptions {
    pub(crate) tags: Vec<String>,
    pub(crate) moving_averages: bool,
    pub(crate) isa: Option<Isa>,
    pub(crate) precision: Precision,
    pub(crate) threads: Option<usize>,
    pub(crate) max_arena_bytes: Option<usize>,
    pub(crate) normalization: Option<Normalization>,
    pub(crate) labels: Option<Labels>,
    pub(crate) tuning: Option<TuningFile>,
    untuned: bool,
    offline: bool,
    cache_dir: Option<PathBuf>,
    limits: Limits,
    progress: Watcher,
}

/// Who hears of downloads.
#[derive(Clone, Default)]
struct Watcher(Option<mobilenet_hub::ProgressCallback>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Watcher(yes)" } else { "Watcher(no)" })
    }
}

impl ModuleOptions {
    /// Uses the graph with exactly these tags; by default the one without tags, for inference.
    pub fn tags<I: IntoIterator<Item: Into<String>>>(mut self, tags: I) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Takes a checkpoint's moving averages of the weights, where it has them, instead of the last
    /// values.
    pub fn moving_averages(mut self, averages: bool) -> Self {
        self.moving_averages = averages;
        self
    }

    /// Uses this instruction set instead of the best one of this processor.
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Rounds what pointwise convolutions and the classifier multiply to this precision; by default
    /// nothing is rounded. Networks of 8 bits keep theirs.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Uses this many threads; by default one for each core. Results do not depend on it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Refuses to run what needs more than this many bytes for values on their way, per session; by
    /// default 16 GiB.
    pub fn max_arena_bytes(mut self, bytes: usize) -> Self {
        self.max_arena_bytes = Some(bytes);
        self
    }

    /// Feeds the network in this way, whatever its file says. Hub modules hold their own in the
    /// graph and ignore it.
    pub fn normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = Some(normalization);
        self
    }

    /// Names the classes so, in the order of the logits, whatever the module's files say. Everything
    /// that is made of the module has these names: answers, networks of 8 bits, files of other formats.
    ///
    /// Loading is then an error where the module has another number of classes, or gives feature
    /// vectors.
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Uses the kernels that [`Module::tune`] chose on this machine, which is the default, or those of
    /// the cost model.
    pub fn tuned(mut self, tuned: bool) -> Self {
        self.untuned = !tuned;
        self
    }

    /// Uses no network: what is not cached is an error.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Caches modules here; by default in `TFHUB_CACHE_DIR`, or the user's cache folder.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Limits on what the module's files may ask for.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Calls `watch` with every step of a download.
    pub fn progress(mut self, watch: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        self.progress = Watcher(Some(Arc::new(watch)));
        self
    }

    /// The hub that these options describe.
    ///
    /// # Errors
    /// If an environment variable of TensorFlow Hub has a value that means nothing.
    pub fn hub(&self) -> Result<Hub> {
        let mut options = HubOptions::from_env()?;
        options.offline |= self.offline;
        options.embedded = EMBEDDED;
        options.limits = self.limits.clone();
        options.progress = self.progress.0.clone();
        if let Some(folder) = &self.cache_dir {
            options.cache_dir = Some(folder.clone());
        }
        Ok(Hub::new(options)?)
    }

    /// A module file that is not a hub's: it has no tags, and says itself how it is fed.
    pub(crate) fn read_file(self, files: ModuleDir) -> Result<Module> {
        let options = Self { tags: Vec::new(), normalization: None, ..self };
        Module::read(files, &options.limits, &options)
    }

    /// Finds the module, fetches it if needed, and reads its signatures; graph and weights are read
    /// when used.
    ///
    /// `handle`: a URL, a folder, an archive, a model file or an embedded module; see [`Handle`].
    ///
    /// # Errors
    /// If the handle leads to no module, the module has no graph with these tags, or these labels do not
    /// fit its classes.
    pub fn load(mut self, handle: &str) -> Result<Module> {
        let hub = self.hub()?;
        let files = hub.resolve(&Handle::parse(handle)?)?;
        self.tuning = (!self.untuned).then(|| TuningFile::of_this_cpu(hub.cache_dir()));
        Module::read(files, &self.limits, &self)
    }

    /// The module of files in memory: those of a folder, or the file `main` and what belongs to it,
    /// of any format that [`Self::load`] reads but archives.
    ///
    /// ```
    /// use mobilenet::{ExportFormat, Module};
    ///
    /// let module = Module::load("embedded:default")?;
    /// let files = module.export(ExportFormat::Onnx, "model.onnx")?;
    /// let again = Module::options().load_files(files, Some("model.onnx"))?;
    /// assert_eq!(again.format(), "ONNX model");
    /// # Ok::<(), mobilenet::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_files(self, files: MemoryFiles, main: Option<&str>) -> Result<Module> {
        let handle = Handle::from_path(main.unwrap_or("memory"));
        Module::read(ModuleDir::of_memory(handle, files, main), &self.limits, &self)
    }
}
