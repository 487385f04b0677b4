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

    /// `None` where variables are missing, or have other shapes, or borders are others.
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
        if !has_same_borders(module)? {
            return Ok(None);
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

/// Whether every strided convolution has the borders that the network in training has. Others, a `Pad`
/// before it or explicit ones, may be the same pixels: [`Slim`] finds out.
fn has_same_borders(module: &Module) -> Result<bool> {
    for (_, node) in module.graph()?.nodes() {
        if !["Conv2D", "DepthwiseConv2dNative"].contains(&node.op_name.as_str()) {
            continue;
        }
        let strided = node.attributes.ints("strides")?.iter().any(|&stride| stride > 1);
        if strided && node.attributes.string("padding", "SAME")? != "SAME" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_of_classifier(name: &str) -> bool {
    name.contains("/Logits/")
}

#[cfg(test)]
mod tests {
    use mobilenet_formats::tensorflow::messages::{AttrValue, attr_value};
    use mobilenet_formats::tensorflow::{HubModule, SavedModel};

    use super::*;

    /// All weights are 0.1; strided convolutions have these borders on every side, or `SAME`.
    fn module(border: Option<i64>) -> Module {
        let network = MobilenetV1::new(0.25, [32, 32]);
        let mut graph = network.inference_graph();
        let list = |ints: [i64; 8]| {
            let list = attr_value::ListValue { i: ints.to_vec(), ..Default::default() };
            attr_value::Value::List(Box::new(list))
        };
        let strided = |value: &AttrValue| matches!(&value.value, Some(attr_value::Value::List(list)) if list.i == [1, 2, 2, 1]);
        for node in &mut graph.graph_def.as_mut().unwrap().node {
            let Some(border) = border.filter(|_| node.attr.get("strides").is_some_and(strided))
            else {
                continue;
            };
            let explicit = attr_value::Value::S(b"EXPLICIT".to_vec());
            let borders = list([0, 0, border, border, border, border, 0, 0]);
            for (name, value) in [("padding", explicit), ("explicit_paddings", borders)] {
                node.attr.insert(name.into(), AttrValue { value: Some(value) });
            }
        }
        let mut model = SavedModel::default();
        model.push_meta_graph(graph);
        for spec in network.variables() {
            let values = vec![0.1f32; spec.shape.iter().product()];
            model.set_variable(spec.name, Tensor::new(spec.shape, values).unwrap());
        }
        let files = HubModule::new(model).to_files().unwrap();
        Module::options().load_files(files, None).unwrap()
    }

    #[test]
    fn weights_that_want_other_borders_are_refused() {
        assert!(Backbone::of(&module(None)).is_ok());
        let error = Backbone::of(&module(Some(1))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Training);
        let error = error.to_string();
        assert!(error.contains("use weights trained with SAME borders"), "{error}");
    }
}
