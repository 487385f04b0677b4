//! A TF1 Hub module: a SavedModel beside `tfhub_module.pb`, which says what a reader must understand.

use std::sync::Arc;

use prost::Message as _;

use super::messages::ModuleDef;
use super::saved_model::{MetaGraph, SavedModel};
use crate::error::Within as _;
use crate::{Error, ErrorKind, FileSource, Limits, MemoryFiles, Result, Tensor};

/// The file that makes a SavedModel a hub module.
pub const MODULE_FILE: &str = "tfhub_module.pb";

/// `ModuleDef.Format.FORMAT_V3`, the only format that was ever published.
const FORMAT_V3: i32 = 3;

/// The features of `required_features` that we understand; none was ever defined.
const KNOWN_FEATURES: &[&str] = &[];

/// A TF1 Hub module.
///
/// ```
/// use mobilenet_formats::{Limits, Tensor, tensorflow::{HubModule, SavedModel, messages::*}};
///
/// let mut model = SavedModel::default();
/// model.push_meta_graph(MetaGraphDef::default());
/// model.set_variable("bias", Tensor::new([1], vec![0.5f32])?);
/// let files = HubModule::new(model).to_files()?;
///
/// let module = HubModule::read(&files, &Limits::default())?;
/// assert_eq!(module.variable("bias")?.as_f32(), Some(&[0.5][..]));
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HubModule {
    def: ModuleDef,
    model: SavedModel,
}

impl HubModule {
    /// Makes a hub module of a SavedModel.
    pub fn new(model: SavedModel) -> Self {
        HubModule { def: ModuleDef { format: FORMAT_V3, required_features: Vec::new() }, model }
    }

    /// Reads a module whose files stay where they are: variables and assets are read when asked for.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without `tfhub_module.pb` or `saved_model.pb`,
    /// [`ErrorKind::Unsupported`] for another format or an unknown required feature, else what is
    /// wrong with a file.
    pub fn open(source: Arc<dyn FileSource>, limits: &Limits) -> Result<Self> {
        let bytes = crate::files::require_file(&*source, MODULE_FILE, limits.message_bytes)
            .map_err(|error| error.hint("without it this is no TF1 Hub module"))?;
        let def = decode(&bytes, limits).within(|| MODULE_FILE)?;
        drop(bytes);
        Ok(HubModule { def, model: SavedModel::open(source, limits)? })
    }

    /// Reads a module whole, its files copied into memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(source: &dyn FileSource, limits: &Limits) -> Result<Self> {
        HubModule::open(Arc::new(MemoryFiles::copy_of(source, limits)?), limits)
    }

    /// The content of `tfhub_module.pb`.
    pub fn module_def(&self) -> &ModuleDef {
        &self.def
    }

    /// Everything else of the module.
    pub fn saved_model(&self) -> &SavedModel {
        &self.model
    }

    /// Everything else of the module, to change.
    pub fn saved_model_mut(&mut self) -> &mut SavedModel {
        &mut self.model
    }

    /// The meta graph with exactly these tags: see [`SavedModel::meta_graph`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], naming the tag sets there are.
    pub fn meta_graph(&self, tags: &[&str]) -> Result<&MetaGraph> {
        self.model.meta_graph(tags)
    }

    /// A variable's values: see [`SavedModel::variable`].
    ///
    /// # Errors
    /// As there.
    pub fn variable(&self, name: &str) -> Result<Tensor> {
        self.model.variable(name)
    }

    /// All files of the module as they are now: see [`SavedModel::to_files`].
    ///
    /// # Errors
    /// As there.
    pub fn to_files(&self) -> Result<MemoryFiles> {
        let mut files = self.model.to_files()?;
        if files.get(MODULE_FILE).is_none() {
            files.insert(MODULE_FILE, self.def.encode_to_vec());
        }
        Ok(files)
    }
}

fn decode(bytes: &[u8], limits: &Limits) -> Result<ModuleDef> {
    crate::wire::check_message(bytes, limits)?;
    let def = ModuleDef::decode(bytes)?;
    if def.format != FORMAT_V3 {
        let message = format!("module format {} is not {FORMAT_V3}", def.format);
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    match def.required_features.iter().find(|name| !KNOWN_FEATURES.contains(&name.as_str())) {
        None => Ok(def),
        Some(feature) => {
            let message = format!("the module requires the unknown feature {feature:?}");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

#[cfg(test)]
mod tests;
