//! One meta graph of a SavedModel: tags at once, everything else decoded on demand (signatures and
//! collections without the graph, the graph whole or in part), collections typed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;

use super::outline::Stored;
use super::part;
use crate::error::Within as _;
use crate::tensorflow::messages::collection_def::Kind;
use crate::tensorflow::messages::{
    GraphDef, ImageModuleInfo, MetaGraphDef, ModuleAttachment, SignatureDef, VariableDef,
    meta_graph_def,
};
use crate::{Error, ErrorKind, Result};

/// The collection of a hub module's attachments.
const ATTACHMENTS: &str = "hub_module_attachments";
/// The attachment with the expected image size.
const IMAGE_MODULE_INFO: &str = "image_module_info";

/// A graph with its signatures and collections, known by its tags.
#[derive(Clone)]
pub struct MetaGraph {
    tags: Vec<String>,
    /// Where it was read; `None` for one that was made.
    stored: Option<Stored>,
    def: OnceLock<MetaGraphDef>,
    /// The message without its graph.
    rest: OnceLock<MetaGraphDef>,
}

impl MetaGraph {
    pub(super) fn stored(stored: Stored) -> Self {
        let tags = stored.tags.clone();
        MetaGraph { tags, stored: Some(stored), def: OnceLock::new(), rest: OnceLock::new() }
    }

    /// A meta graph that is in no SavedModel: one that was made, or the `.meta` of a checkpoint.
    #[must_use]
    pub fn from_def(def: MetaGraphDef) -> Self {
        let tags = def.meta_info_def.as_ref().map(|info| info.tags.clone()).unwrap_or_default();
        MetaGraph { tags, stored: None, def: OnceLock::from(def), rest: OnceLock::new() }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.stored.is_none()
    }

    /// The message; the bytes as they are in the file when it was not changed.
    pub(super) fn to_bytes(&self) -> Result<Bytes> {
        match (&self.stored, self.def.get()) {
            (Some(stored), _) => stored.bytes().within(|| self.place()),
            (None, Some(def)) => Ok(def.encode_to_vec().into()),
            (None, None) => Ok(Bytes::new()),
        }
    }

    /// The tags, in the order of the file.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The tags as text: `{train}`.
    pub fn tag_set(&self) -> String {
        format!("{{{}}}", self.tags.join(", "))
    }

    /// Whether the tags are exactly these, in any order.
    pub fn has_tags(&self, tags: &[&str]) -> bool {
        self.tags.iter().all(|tag| tags.contains(&tag.as_str()))
            && tags.iter().all(|tag| self.tags.iter().any(|other| other == tag))
    }

    /// The whole message, read and decoded the first time it is asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when the bytes are no `MetaGraphDef`.
    pub fn def(&self) -> Result<&MetaGraphDef> {
        if let Some(def) = self.def.get() {
            return Ok(def);
        }
        let def = MetaGraphDef::decode(self.to_bytes()?).within(|| self.place())?;
        Ok(self.def.get_or_init(|| def))
    }

    /// The message without its graph, or whole if it is decoded already.
    fn rest(&self) -> Result<&MetaGraphDef> {
        match (self.def.get().or(self.rest.get()), &self.stored) {
            (Some(def), _) => Ok(def),
            (None, Some(stored)) => {
                let rest = stored.without_graph().within(|| self.place())?;
                Ok(self.rest.get_or_init(|| rest))
            }
            (None, None) => self.def(),
        }
    }

    /// The part of the graph that computes `tensors` (`node` or `node:port`): the nodes they need,
    /// without the library of functions and without attributes whose names begin with `_`. The rest
    /// is not decoded, nor checked.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when the bytes hold no such message.
    pub fn graph_part(&self, tensors: &[&str]) -> Result<GraphDef> {
        let graph = match &self.stored {
            Some(stored) => stored.graph().within(|| self.place())?,
            None => self.def()?.graph_def.as_ref().map(GraphDef::encode_to_vec).unwrap_or_default(),
        };
        part::needed(&graph, tensors).within(|| self.place())
    }

    /// Whether the objects of TensorFlow 2 are described.
    ///
    /// # Errors
    /// As [`def`](Self::def).
    pub fn has_object_graph(&self) -> Result<bool> {
        Ok(self.rest()?.object_graph_def.is_some())
    }

    fn place(&self) -> String {
        match &self.stored {
            Some(_) => format!("{}: graph {}", super::SAVED_MODEL_FILE, self.tag_set()),
            None => format!("graph {}", self.tag_set()),
        }
    }

    /// The graph.
    ///
    /// # Errors
    /// As [`def`](Self::def), and [`ErrorKind::NotFound`] when it has none.
    pub fn graph_def(&self) -> Result<&GraphDef> {
        let missing = || Error::new(ErrorKind::NotFound, "no graph_def").within(self.place());
        self.def()?.graph_def.as_ref().ok_or_else(missing)
    }

    /// Version of TensorFlow, op definitions and the like; `None` where the file has none.
    ///
    /// # Errors
    /// As [`def`](Self::def).
    pub fn info(&self) -> Result<Option<&meta_graph_def::MetaInfoDef>> {
        Ok(self.rest()?.meta_info_def.as_ref())
    }

    /// All signatures by name.
    ///
    /// # Errors
    /// As [`def`](Self::def).
    pub fn signatures(&self) -> Result<&BTreeMap<String, SignatureDef>> {
        Ok(&self.rest()?.signature_def)
    }

    /// The signature `name`.
    ///
    /// # Errors
    /// As [`def`](Self::def), and [`ErrorKind::NotFound`], naming the signatures there are.
    pub fn signature(&self, name: &str) -> Result<&SignatureDef> {
        let signatures = self.signatures()?;
        signatures.get(name).ok_or_else(|| {
            let names: Vec<_> = signatures.keys().map(String::as_str).collect();
            Error::new(ErrorKind::NotFound, format!("no signature `{name}`"))
                .within(self.place())
                .hint(format!("the signatures are {}", names.join(", ")))
        })
    }

    fn collection(&self, name: &str) -> Result<Option<&Kind>> {
        Ok(self.rest()?.collection_def.get(name).and_then(|collection| collection.kind.as_ref()))
    }

    /// The names in a collection of tensors or operations, such as `regularization_losses`; empty
    /// where there is no such collection.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it holds something else.
    pub fn nodes(&self, collection: &str) -> Result<&[String]> {
        match self.collection(collection)? {
            Some(Kind::NodeList(nodes)) => Ok(&nodes.value),
            None => Ok(&[]),
            Some(_) => Err(self.wrong_kind(collection, "names of nodes")),
        }
    }

    /// The serialised messages in a collection, such as `variables`; empty where there is no such
    /// collection.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it holds something else.
    pub fn messages(&self, collection: &str) -> Result<&[Bytes]> {
        match self.collection(collection)? {
            Some(Kind::BytesList(list)) => Ok(&list.value),
            None => Ok(&[]),
            Some(_) => Err(self.wrong_kind(collection, "messages")),
        }
    }

    fn wrong_kind(&self, collection: &str, expected: &str) -> Error {
        Error::new(ErrorKind::Malformed, format!("does not hold {expected}"))
            .within(format!("collection `{collection}`"))
            .within(self.place())
    }

    fn decode_all<M: prost::Message + Default>(&self, collection: &str) -> Result<Vec<M>> {
        let decode = |bytes: &Bytes| {
            M::decode(bytes.clone())
                .within(|| format!("collection `{collection}`"))
                .within(|| self.place())
        };
        self.messages(collection)?.iter().map(decode).collect()
    }

    /// The collection `variables`: every variable that the bundle holds.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it holds something else.
    pub fn variables(&self) -> Result<Vec<VariableDef>> {
        self.decode_all("variables")
    }

    /// The collection `trainable_variables`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it holds something else.
    pub fn trainable_variables(&self) -> Result<Vec<VariableDef>> {
        self.decode_all("trainable_variables")
    }

    /// The collection `regularization_losses`: tensors, `name:0`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it holds something else.
    pub fn regularization_losses(&self) -> Result<&[String]> {
        self.nodes("regularization_losses")
    }

    /// The collection `update_ops`: operations, without `:0`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it holds something else.
    pub fn update_ops(&self) -> Result<&[String]> {
        self.nodes("update_ops")
    }

    /// The attachments of a hub module: serialised messages by key.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when the collection holds something else.
    pub fn attachments(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let attachments: Vec<ModuleAttachment> = self.decode_all(ATTACHMENTS)?;
        Ok(attachments.into_iter().map(|attachment| (attachment.key, attachment.value)).collect())
    }

    /// The attachment `image_module_info`, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it is no such message.
    pub fn image_module_info(&self) -> Result<Option<ImageModuleInfo>> {
        let Some(value) = self.attachments()?.remove(IMAGE_MODULE_INFO) else { return Ok(None) };
        let place = || format!("{}: attachment `{IMAGE_MODULE_INFO}`", self.place());
        ImageModuleInfo::decode(value.as_slice()).within(place).map(Some)
    }

    /// The expected image size in pixels, height and width: the attachment's, if it has a sound one.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when the attachment is no such message or gives no positive size.
    pub fn image_size(&self) -> Result<Option<(usize, usize)>> {
        let info = self.image_module_info()?;
        let Some(size) = info.and_then(|info| info.default_image_size) else { return Ok(None) };
        let sides = (usize::try_from(size.height), usize::try_from(size.width));
        match sides {
            (Ok(height), Ok(width)) if height > 0 && width > 0 => Ok(Some((height, width))),
            _ => {
                let message = format!("image size {} by {}", size.height, size.width);
                Err(Error::new(ErrorKind::Malformed, message).within(self.place()))
            }
        }
    }
}

impl fmt::Debug for MetaGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetaGraph({})", self.tag_set())
    }
}
