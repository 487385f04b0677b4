//! SavedModel: a folder with `saved_model.pb`, a tensor bundle of variables, and assets.
//!
//! ```text
//! saved_model.pb                SavedModel: schema version, meta graphs by tag set
//! variables/variables.*         tensor bundle
//! assets/…                      files that the graphs name
//! ```
//!
//! Reading finds out where the meta graphs are, and reads and decodes one when it is asked for;
//! writing gives those that were not changed back byte for byte. A hub module is a SavedModel with `tfhub_module.pb`
//! beside it: see [`HubModule`](super::HubModule). What the graphs compute is `mobilenet-engine`'s
//! business.

mod meta_graph;
mod outline;
mod part;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prost::Message as _;

pub use meta_graph::MetaGraph;
use outline::Outline;

use super::bundle::{BundleEntry, BundleReader, BundleWriter};
use super::messages;
use crate::error::Within as _;
use crate::files::require_file;
use crate::{Error, ErrorKind, FileSource, Limits, MemoryFiles, Result, Tensor};

/// The file of the meta graphs.
pub const SAVED_MODEL_FILE: &str = "saved_model.pb";
/// The prefix of the variables' bundle.
pub const VARIABLES_PREFIX: &str = "variables/variables";
/// The folder of assets.
pub const ASSETS_FOLDER: &str = "assets";

/// The only schema version there is.
const SCHEMA_VERSION: i64 = 1;

/// A SavedModel: meta graphs, variables, assets.
///
/// ```
/// use mobilenet_formats::{Limits, Tensor, tensorflow::{SavedModel, messages::*}};
///
/// let mut model = SavedModel::default();
/// let info = meta_graph_def::MetaInfoDef { tags: vec!["train".into()], ..Default::default() };
/// model.push_meta_graph(MetaGraphDef { meta_info_def: Some(info), ..Default::default() });
/// model.set_variable("bias", Tensor::new([1], vec![0.5f32])?);
///
/// let model = SavedModel::read(&model.to_files()?, &Limits::default())?;
/// assert_eq!(model.meta_graph(&["train"])?.tags(), ["train"]);
/// assert_eq!(model.variable("bias")?.as_f32(), Some(&[0.5][..]));
/// assert!(model.meta_graph(&[]).is_err());
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
#[derive(Clone)]
pub struct SavedModel {
    source: Arc<dyn FileSource>,
    schema_version: i64,
    meta_graphs: Vec<MetaGraph>,
    bundle: Option<Arc<BundleReader>>,
    /// Variables set since reading; they hide those of the bundle.
    changed: BTreeMap<String, Tensor>,
    removed_all: bool,
    /// Files set since reading.
    files: MemoryFiles,
}

impl Default for SavedModel {
    fn default() -> Self {
        SavedModel {
            source: Arc::new(MemoryFiles::default()),
            schema_version: SCHEMA_VERSION,
            meta_graphs: Vec::new(),
            bundle: None,
            changed: BTreeMap::new(),
            removed_all: false,
            files: MemoryFiles::default(),
        }
    }
}

impl SavedModel {
    /// Reads a model whose files stay where they are: variables and assets are read when asked for.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without `saved_model.pb`, else what is wrong with a file.
    pub fn open(source: Arc<dyn FileSource>, limits: &Limits) -> Result<Self> {
        let len = source.len(SAVED_MODEL_FILE).within(|| SAVED_MODEL_FILE)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no such file in the model")
                .within(SAVED_MODEL_FILE)
                .hint("the folder of a SavedModel has this file at its root")
        })?;
        let (schema_version, meta_graphs) =
            outline(&source, len, limits).within(|| SAVED_MODEL_FILE)?;
        let index = format!("{VARIABLES_PREFIX}.index");
        let has_variables = source.len(&index).within(|| index)?.is_some();
        let open = || BundleReader::open(Arc::clone(&source), VARIABLES_PREFIX, limits);
        let bundle = has_variables.then(open).transpose()?.map(Arc::new);
        Ok(SavedModel { source, schema_version, meta_graphs, bundle, ..Default::default() })
    }

    /// Reads a model whole, its files copied into memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(source: &dyn FileSource, limits: &Limits) -> Result<Self> {
        SavedModel::open(Arc::new(MemoryFiles::copy_of(source, limits)?), limits)
    }

    /// All meta graphs, in the order of the file.
    pub fn meta_graphs(&self) -> &[MetaGraph] {
        &self.meta_graphs
    }

    /// The meta graph with exactly these tags, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], naming the tag sets there are.
    pub fn meta_graph(&self, tags: &[&str]) -> Result<&MetaGraph> {
        self.meta_graphs.iter().find(|graph| graph.has_tags(tags)).ok_or_else(|| {
            let sets: Vec<_> = self.meta_graphs.iter().map(MetaGraph::tag_set).collect();
            let message = format!("no graph with the tags {{{}}}", tags.join(", "));
            let hint = format!("the tag sets are {}", sets.join(" and "));
            Error::new(ErrorKind::NotFound, message).within(SAVED_MODEL_FILE).hint(hint)
        })
    }

    /// Adds a meta graph; one with the same tags is replaced.
    pub fn push_meta_graph(&mut self, def: messages::MetaGraphDef) {
        let graph = MetaGraph::from_def(def);
        let tags: Vec<_> = graph.tags().iter().map(String::as_str).collect();
        match self.meta_graphs.iter_mut().find(|other| other.has_tags(&tags)) {
            Some(other) => *other = graph,
            None => self.meta_graphs.push(graph),
        }
    }

    /// The names of all variables, in order.
    pub fn variable_names(&self) -> Vec<&str> {
        let changed = self.changed.keys().map(String::as_str);
        let mut names: Vec<_> =
            changed.chain(self.stored().into_iter().flat_map(BundleReader::names)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The variables of the files, unless they were cleared.
    fn stored(&self) -> Option<&BundleReader> {
        self.bundle.as_deref().filter(|_| !self.removed_all)
    }

    /// Type and shape of a variable, without reading it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what is wrong with its entry.
    pub fn variable_entry(&self, name: &str) -> Result<BundleEntry> {
        match (self.changed.get(name), self.stored()) {
            (Some(tensor), _) => {
                Ok(BundleEntry { dtype: tensor.dtype(), shape: tensor.shape().to_vec() })
            }
            (None, Some(bundle)) => bundle.entry(name),
            (None, None) => Err(no_variables(name)),
        }
    }

    /// A variable's values, read and verified now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Checksum`] for damaged bytes, or what is wrong with its
    /// entry.
    pub fn variable(&self, name: &str) -> Result<Tensor> {
        match (self.changed.get(name), self.stored()) {
            (Some(tensor), _) => Ok(tensor.clone()),
            (None, Some(bundle)) => bundle.read(name),
            (None, None) => Err(no_variables(name)),
        }
    }

    /// Adds or replaces a variable.
    pub fn set_variable(&mut self, name: impl Into<String>, value: Tensor) {
        self.changed.insert(name.into(), value);
    }

    /// Forgets all variables.
    pub fn clear_variables(&mut self) {
        self.changed.clear();
        self.removed_all = true;
    }

    /// The paths of the assets, relative to `assets/`.
    pub fn asset_names(&self) -> Vec<String> {
        let prefix = format!("{ASSETS_FOLDER}/");
        let mut paths = self.source.paths();
        paths.extend(self.files.paths());
        paths.sort_unstable();
        paths.dedup();
        paths.iter().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// An asset's bytes; `name` is relative to `assets/`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what reading it gave.
    pub fn asset(&self, name: &str, limits: &Limits) -> Result<Vec<u8>> {
        let path = format!("{ASSETS_FOLDER}/{name}");
        match self.files.get(&path) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Ok(require_file(&*self.source, &path, limits.file_bytes)?.into_owned()),
        }
    }

    /// Adds or replaces a file beside the graphs and variables, such as `assets/labels.txt`.
    pub fn set_file(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path, bytes);
    }

    /// All files of the model as they are now; what was not changed comes back byte for byte.
    ///
    /// # Errors
    /// What reading an unchanged file gave, or a variable that cannot be written.
    pub fn to_files(&self) -> Result<MemoryFiles> {
        let mut files = MemoryFiles::copy_of(&*self.source, &Limits::default())?;
        // TensorFlow's fingerprint speaks of the old bytes.
        if self.is_changed() {
            files.remove("fingerprint.pb");
        }
        files.insert(SAVED_MODEL_FILE, self.encode()?);
        if self.removed_all || !self.changed.is_empty() {
            self.write_variables(&mut files)?;
        }
        for (path, bytes) in self.files.iter() {
            files.insert(path, bytes);
        }
        if self.asset_names().is_empty() {
            files.insert_folder(ASSETS_FOLDER);
        }
        Ok(files)
    }

    fn is_changed(&self) -> bool {
        let graphs = self.meta_graphs.iter().any(MetaGraph::is_changed);
        graphs || self.removed_all || !self.changed.is_empty()
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let meta_graphs =
            self.meta_graphs.iter().map(MetaGraph::to_bytes).collect::<Result<_>>()?;
        let saved_model_schema_version = self.schema_version;
        Ok(messages::SavedModel { saved_model_schema_version, meta_graphs }.encode_to_vec())
    }

    fn write_variables(&self, files: &mut MemoryFiles) -> Result<()> {
        let prefix = format!("{VARIABLES_PREFIX}.");
        for path in files.paths().iter().filter(|path| path.starts_with(&prefix)) {
            files.remove(path);
        }
        let mut writer = BundleWriter::default();
        for name in self.variable_names() {
            writer.add(name, &self.variable(name)?)?;
        }
        for (path, bytes) in writer.finish(VARIABLES_PREFIX)?.iter() {
            files.insert(path, bytes);
        }
        Ok(())
    }
}

impl fmt::Debug for SavedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets: Vec<_> = self.meta_graphs.iter().map(MetaGraph::tag_set).collect();
        let variables = self.variable_names().len();
        write!(f, "SavedModel({}; {variables} variables)", sets.join(" "))
    }
}

fn no_variables(name: &str) -> Error {
    let message = format!("no such variable: the model has no {VARIABLES_PREFIX}.index");
    Error::new(ErrorKind::NotFound, message).within(format!("variable `{name}`"))
}

fn outline(
    source: &Arc<dyn FileSource>,
    len: u64,
    limits: &Limits,
) -> Result<(i64, Vec<MetaGraph>)> {
    let Outline { schema_version: version, meta_graphs } = Outline::read(source, len, limits)?;
    if !(0..=SCHEMA_VERSION).contains(&version) {
        let message = format!("schema version {version} is newer than {SCHEMA_VERSION}");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if meta_graphs.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, "no meta graph"));
    }
    Ok((version, meta_graphs.into_iter().map(MetaGraph::stored).collect()))
}

#[cfg(test)]
mod tests;
