//! The graph of a model, imported when it is asked for: of a hub module only the part that one
//! signature needs, as long as nobody wants the whole.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use mobilenet_engine::Graph;
use mobilenet_formats::tensorflow::HubModule;

use crate::error::Result;

/// A graph, or where it comes from.
pub(crate) struct Graphs {
    whole: OnceLock<Graph>,
    /// A module and the tags of its meta graph.
    origin: Option<(Arc<HubModule>, Vec<String>)>,
}

impl From<Graph> for Graphs {
    fn from(graph: Graph) -> Self {
        Graphs { whole: OnceLock::from(graph), origin: None }
    }
}

impl Graphs {
    /// The meta graph with exactly these tags of `module`.
    pub(super) fn of_module(module: Arc<HubModule>, tags: Vec<String>) -> Self {
        Graphs { whole: OnceLock::new(), origin: Some((module, tags)) }
    }

    /// The whole graph.
    pub(crate) fn whole(&self) -> Result<&Graph> {
        match (self.whole.get(), &self.origin) {
            (Some(graph), _) => Ok(graph),
            (None, Some((module, tags))) => {
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                let graph = Graph::import(module.meta_graph(&tags)?.graph_def()?)?;
                Ok(self.whole.get_or_init(|| graph))
            }
            (None, None) => Ok(self.whole.get_or_init(Graph::new)),
        }
    }

    /// A graph in which `tensors` and all they need are as in the whole one.
    pub(crate) fn part(&self, tensors: &[&str]) -> Result<Cow<'_, Graph>> {
        match (self.whole.get(), &self.origin) {
            (None, Some((module, tags))) => {
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                let part = module.meta_graph(&tags)?.graph_part(tensors)?;
                Ok(Cow::Owned(Graph::from_graph_def(part)?))
            }
            _ => self.whole().map(Cow::Borrowed),
        }
    }
}
