//! What is assumed where a file says nothing: how MobileNet V1 was published. Images in [-1, 1], or by
//! ImageNet's mean and deviation where PyTorch's MobileNet V2 wants that, and ImageNet's classes, with
//! `background` first where there are 1001. Whatever is assumed is said in the module's notes.

use std::collections::HashMap;

use mobilenet_engine::Graph;
use mobilenet_formats::tensorflow::messages::{GraphDef, NodeDef, attr_value::Value};
use mobilenet_formats::{Limits, Tensor};

use super::network::{Ends, Network, classes};
use crate::builder::node::{Nodes, shape_proto};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;

/// Who published networks like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// Google, and all who go by its weights: Keras, and timm for MobileNet V1.
    Google,
    /// torchvision, timm and ONNX's model zoo, for MobileNet V2.
    PyTorch,
}

impl Published {
    /// The values that these networks want, and what is said where that is assumed.
    fn range(self) -> (Normalization, &'static str) {
        match self {
            Self::Google => (
                Normalization::SIGNED,
                "the file does not say which pixel values it wants: [-1, 1] assumed, as MobileNet V1 \
                 was published; --mean and --std override it",
            ),
            Self::PyTorch => (
                Normalization::IMAGENET,
                "the file does not say which pixel values it wants: ImageNet's mean and deviation \
                 assumed, as PyTorch's MobileNet V2 was published; --mean and --std override it",
            ),
        }
    }
}

/// Puts the network's own normalisation in front of it, so that it takes images in [0, 1], and
/// opens the number of images. Gives the name of the node that takes them.
pub(super) fn normalise(network: &mut Network, chosen: Option<Normalization>) -> Result<String> {
    let name = match &network.images {
        Some(name) => name.clone(),
        None => placeholder(&network.graph)?,
    };
    let range = match (chosen, network.range, own_normalisation(&network.graph, &name)) {
        (Some(chosen), _, _) => chosen,
        (None, Some(said), _) => said,
        (None, None, Some(found)) => found,
        (None, None, None) => {
            let (range, note) = network.published.range();
            network.notes.push(note.into());
            range
        }
    };
    open_batch(&mut network.graph, &name)?;
    if range != Normalization::UNIT {
        insert(&mut network.graph, &name, range);
    }
    Ok(name)
}

/// Says which classes are assumed.
pub(super) fn describe_classes(ends: &Ends, graph: &Graph, network: &mut Network) {
    let note = match (&network.labels, classes(graph, ends)) {
        (None, Some(1001)) => "1001 classes: ImageNet's assumed, `background` first",
        (None, Some(1000)) => "1000 classes: ImageNet's assumed, without `background`",
        _ => return,
    };
    network.notes.push(note.into());
}

/// The only placeholder of images.
fn placeholder(graph: &GraphDef) -> Result<String> {
    let of_images = |node: &&NodeDef| {
        let rank = match node.attr.get("shape").and_then(|attr| attr.value.as_ref()) {
            Some(Value::Shape(shape)) if !shape.unknown_rank => shape.dim.len(),
            _ => 4,
        };
        node.op == "Placeholder" && rank == 4
    };
    let all: Vec<&str> =
        graph.node.iter().filter(of_images).map(|node| node.name.as_str()).collect();
    match all.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Error::new(ErrorKind::Format, "the graph has no placeholder for images")),
        many => {
            let message =
                format!("the graph has more than one input of images: {}", many.join(", "));
            Err(Error::new(ErrorKind::Format, message))
        }
    }
}

/// Any number of images, whatever the file was exported for.
fn open_batch(graph: &mut GraphDef, name: &str) -> Result<()> {
    let node = graph.node.iter_mut().find(|node| node.name == name);
    let node = node.ok_or_else(|| super::network::no_images(name))?;
    let shape = node.attr.entry("shape".into()).or_default();
    match &mut shape.value {
        Some(Value::Shape(shape)) if !shape.unknown_rank => {
            if let Some(batch) = shape.dim.first_mut() {
                batch.size = -1;
            }
        }
        other => *other = Some(Value::Shape(shape_proto(&[-1, -1, -1, 3]))),
    }
    Ok(())
}

/// `name * scale - shift` between the placeholder and all that used it.
fn insert(graph: &mut GraphDef, name: &str, range: Normalization) {
    let (factor, offset) = range.affine();
    let scope = (0..)
        .map(|n| if n == 0 { "hub_input".to_owned() } else { format!("hub_input_{n}") })
        .find(|scope| !graph.node.iter().any(|node| node.name.starts_with(&format!("{scope}/"))))
        .unwrap_or_default();
    let mut nodes = Nodes::default();
    let constant = |nodes: &mut Nodes, name: String, values: [f32; 3]| match values {
        [a, b, c] if a == b && b == c => nodes.scalar(name, a),
        values => nodes.floats(name, &values),
    };
    let scale = constant(&mut nodes, format!("{scope}/Mul/y"), factor);
    let scaled = nodes.float(format!("{scope}/Mul"), "Mul", &[name, &scale]).add();
    let last = if offset == [0.0; 3] {
        scaled
    } else {
        let shift = constant(&mut nodes, format!("{scope}/Sub/y"), offset);
        nodes.float(format!("{scope}/Sub"), "Sub", &[&scaled, &shift]).add()
    };
    let first = format!("{name}:0");
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if *input == name || *input == first {
            input.clone_from(&last);
        }
    }
    graph.node.extend(nodes.into_graph_def().node);
}

/// Which values the graph wants if its first steps are a multiplication and a subtraction by
/// constants that lead to [-1, 1], [0, 1] or [0, 255]; `None` where it begins otherwise.
fn own_normalisation(graph: &GraphDef, images: &str) -> Option<Normalization> {
    let constants: HashMap<&str, &NodeDef> = graph
        .node
        .iter()
        .filter(|node| node.op == "Const")
        .map(|node| (node.name.as_str(), node))
        .collect();
    let (mut scale, mut shift, mut at, mut steps) = ([1.0; 3], [0.0; 3], images.to_owned(), 0);
    while let Some((op, value, next)) = affine_step(graph, &constants, &at) {
        for ((scale, shift), value) in scale.iter_mut().zip(&mut shift).zip(value) {
            match op {
                "Mul" => (*scale, *shift) = (*scale * value, *shift * value),
                "RealDiv" => (*scale, *shift) = (*scale / value, *shift / value),
                "Sub" => *shift += value,
                _ => *shift -= value,
            }
        }
        at = next;
        steps += 1;
        if steps > 8 {
            return None;
        }
    }
    // 128 in place of 127.5 is near enough.
    let near = |a: [f32; 3], b: f32| a.iter().all(|a| (a - b).abs() <= 5e-3 * b.abs().max(1.0));
    let wide = |width: f32| scale.map(|scale| scale * width);
    let centred = |width: f32| near(wide(width), 2.0) && near(shift, 1.0);
    let unit = |width: f32| near(wide(width), 1.0) && near(shift, 0.0);
    let bytes = near(scale, 255.0) && near(shift, 0.0);
    match steps {
        0 => None,
        _ if centred(1.0) || bytes => Some(Normalization::UNIT),
        _ if centred(255.0) || unit(255.0) => Some(Normalization::BYTES),
        // Each colour by its own mean and deviation, which is some part of the range of the pixels.
        _ if own_of_colours(1.0, &scale, &shift) => Some(Normalization::UNIT),
        _ if own_of_colours(255.0, &scale, &shift) => Some(Normalization::BYTES),
        _ => None,
    }
}

/// Whether colours differ in what is done to pixels from 0 to `width`, and all deviations are
/// between a tenth and the whole of that.
fn own_of_colours(width: f32, scale: &[f32; 3], shift: &[f32; 3]) -> bool {
    let differ = shift.iter().any(|other| other != &shift[0]);
    differ && scale.iter().all(|scale| (1.0..=10.0).contains(&(scale * width)))
}

/// Another normalisation in a graph that the builder wrote: the constants of `hub_input/Mul` and
/// `hub_input/Sub`.
pub(crate) fn replace_normalization(graph: &mut GraphDef, range: Normalization) {
    let (factor, offset) = range.affine();
    let mut nodes = Nodes::default();
    nodes.floats("hub_input/Mul/y", &factor);
    nodes.floats("hub_input/Sub/y", &offset);
    for new in nodes.into_graph_def().node {
        graph.node.iter_mut().filter(|node| node.name == new.name).for_each(|node| {
            node.clone_from(&new);
        });
    }
}

/// The normalisation of a graph with the nodes that the builder, and TensorFlow Hub's exporters,
/// write for it.
pub(crate) fn hub_normalization(graph: &GraphDef) -> Option<Normalization> {
    let constant = |name: &str| {
        let node = graph.node.iter().find(|node| node.name == name && node.op == "Const")?;
        by_colour(node)
    };
    let (scale, offset) = (constant("hub_input/Mul/y")?, constant("hub_input/Sub/y")?);
    Normalization::from_affine(scale.map(f64::from), offset.map(f64::from)).ok()
}

/// The only user of `at` if it changes it by a constant: its op, the constant by colour, its name.
fn affine_step<'a>(
    graph: &'a GraphDef,
    constants: &HashMap<&str, &NodeDef>,
    at: &str,
) -> Option<(&'a str, [f32; 3], String)> {
    let first = format!("{at}:0");
    let mut users =
        graph.node.iter().filter(|node| node.input.iter().any(|i| *i == at || *i == first));
    let (user, None) = (users.next()?, users.next()) else { return None };
    if !["Mul", "RealDiv", "Sub", "Add", "AddV2"].contains(&user.op.as_str()) {
        return None;
    }
    let [a, b] = user.input.as_slice() else { return None };
    let swapped = *b == at || *b == first;
    if swapped && ["Sub", "RealDiv"].contains(&user.op.as_str()) {
        return None;
    }
    let constant = constants.get((if swapped { a } else { b }).trim_end_matches(":0"))?;
    Some((&user.op, by_colour(constant)?, user.name.clone()))
}

/// The value of a constant of a few numbers.
fn small(node: &NodeDef) -> Option<Tensor> {
    let Some(Value::Tensor(proto)) = &node.attr.get("value")?.value else { return None };
    proto.to_tensor(&Limits { tensor_bytes: 64, ..Limits::default() }).ok()
}

/// The value of a constant for red, green and blue.
fn by_colour(node: &NodeDef) -> Option<[f32; 3]> {
    match *small(node)?.as_f32()? {
        [first, ref rest @ ..] if rest.iter().all(|other| *other == first) => Some([first; 3]),
        [red, green, blue] => Some([red, green, blue]),
        _ => None,
    }
}
