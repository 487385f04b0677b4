//! [`Backbone`]: of any module, what fine-tuning starts from.

use std::collections::BTreeMap;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::network;
use crate::builder::MobilenetV1;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Slim;
use crate::module::Module;
use crate::normalization::Normalization;
use crate::quantize::is_of_8_bits;

/// Channels of the last layer at depth multiplier 1.
const FULL_WIDTH: f64 = 1024.0;

/// The layer whose width tells the depth multiplier.
const LAST: &str = "MobilenetV1/Conv2d_13_pointwise/weights";

/// A MobileNet V1 without its classifier.
pub(super) struct Backbone {
    pub(super) depth_multiplier: f64,
    /// By slim's names.
    pub(super) values: BTreeMap<String, Arc<Tensor>>,
    /// Which values it wants to see.
    pub(super) normalization: Normalization,
}

impl Backbone {
    /// That of slim's variables, else that of the weights in the module's graph.
    ///
    /// # Errors
    /// [`ErrorKind::Training`], with the reason, if the module is no MobileNet V1 as slim builds it.
    pub(super) fn of(module: &Module) -> Result<Backbone> {
        match Self::of_variables(module)? {
            Some(own) => Ok(own),
            None => Self::of_graph(module),
        }
    }

    /// `None` where variables are missing, or have other shapes.
    fn of_variables(module: &Module) -> Result<Option<Backbone>> {
        let known: BTreeMap<String, Vec<usize>> = module.variables().into_iter().collect();
        let Some(&[1, 1, _, width]) = known.get(LAST).map(Vec::as_slice) else { return Ok(None) };
        let depth_multiplier = width as f64 / FULL_WIDTH;
        let mut values = BTreeMap::new();
        // Shapes are the same for every size of images.
        for spec in MobilenetV1::new(depth_multiplier, [32, 32]).variables() {
            if is_of_classifier(&spec.name) {
                continue;
            }
            if known.get(&spec.name) != Some(&spec.shape) {
                return Ok(None);
            }
            values.insert(spec.name.clone(), module.variable(&spec.name)?);
        }
        let range = module.hub_module().map(network::normalization);
        let normalization = range.unwrap_or(Normalization::SIGNED);
        Ok(Some(Backbone { depth_multiplier, values, normalization }))
    }

    fn of_graph(module: &Module) -> Result<Backbone> {
        let refuse = |reason: &str| {
            let message = format!(
                "{}: only slim's MobileNet V1 can be fine-tuned, from any file that holds it: {reason}",
                module.handle()
            );
            Error::new(ErrorKind::Training, message)
        };
        if is_of_8_bits(module) {
            return Err(refuse(
                "this network of 8 bits has no weights that learn; start from the module of floats that \
                 it was made from",
            ));
        }
        let slim = Slim::of(module).map_err(|error| refuse(&error.to_string()))?;
        let mut values = slim.values;
        values.retain(|name, _| !is_of_classifier(name));
        let depth_multiplier = slim.network.depth_multiplier;
        Ok(Backbone { depth_multiplier, values, normalization: slim.normalization })
    }
}

fn is_of_classifier(name: &str) -> bool {
    name.contains("/Logits/")
}
