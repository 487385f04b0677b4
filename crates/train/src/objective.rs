//! What is minimised: cross-entropy of the logits times the weight of each image, averaged over the
//! batch, plus the regularisation losses the graph brings. Added to the graph as TensorFlow's own ops.

use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::{DType, Tensor};

use crate::{Error, ErrorKind, Result};

/// Operands of one `AddN`; longer sums are nested.
const SUMMANDS: usize = 7;

/// Names of the tensors that training feeds and reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Fed: `[n, classes]`, each row the wanted probabilities, summing to 1.
    pub labels: String,
    /// Fed: how much each image of the batch counts, `[n]`.
    pub weights: String,
    /// What the network answers: `[n, classes]`.
    pub logits: String,
    /// Cross-entropy times weight, averaged over the batch: a scalar.
    pub loss: String,
    /// Loss and regularisation: the scalar that is minimised.
    pub total_loss: String,
}

impl Objective {
    /// Adds the objective to `graph`, for `logits`, `[n, classes]`, and the scalars named in
    /// `regularization`.
    ///
    /// # Errors
    /// If a name does not exist or the logits are not `[n, classes]`.
    pub fn add(graph: &mut Graph, logits: &str, regularization: &[String]) -> Result<Self> {
        add(graph, logits, regularization).map_err(|error| {
            Error::new(ErrorKind::Model, format!("cannot train on {logits:?}")).because(error)
        })
    }
}

fn add(
    graph: &mut Graph,
    logits: &str,
    regularization: &[String],
) -> std::result::Result<Objective, mobilenet_engine::Error> {
    let logits = graph.tensor(logits)?;
    let shape = Shape::new(vec![None, graph.fact(logits).shape.last()]);
    let float = || Attributes::new().with_dtype("T", DType::F32);
    let placeholder = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    let labels = graph.add("objective/labels", "Placeholder", placeholder, &[])?;
    let name = "objective/cross_entropy";
    let losses =
        graph.add(name, "SoftmaxCrossEntropyWithLogits", float(), &[logits, labels.into()])?;
    let open = Attributes::new()
        .with_dtype("dtype", DType::F32)
        .with_shape("shape", &Shape::new(vec![None]));
    let weights = graph.add("objective/weights", "Placeholder", open, &[])?;
    let weighted = [losses.into(), weights.into()];
    let losses = graph.add("objective/weighted", "Mul", float(), &weighted)?;
    let axes = Tensor::new([1], vec![0_i32]).map_err(into_engine)?;
    let axes_attributes =
        Attributes::new().with_dtype("dtype", DType::I32).with_tensor("value", &axes);
    let axes = graph.add("objective/axes", "Const", axes_attributes, &[])?;
    let mean = float().with_dtype("Tidx", DType::I32);
    let loss = graph.add("objective/loss", "Mean", mean, &[losses.into(), axes.into()])?;
    let mut summands = vec![TensorId::from(loss)];
    for name in regularization {
        summands.push(graph.tensor(name)?);
    }
    let total = sum(graph, summands)?;
    Ok(Objective {
        labels: "objective/labels:0".to_owned(),
        weights: "objective/weights:0".to_owned(),
        logits: graph.tensor_name(logits),
        loss: "objective/loss:0".to_owned(),
        total_loss: graph.tensor_name(total),
    })
}

/// Sums scalars, a few at a time.
fn sum(
    graph: &mut Graph,
    mut summands: Vec<TensorId>,
) -> std::result::Result<TensorId, mobilenet_engine::Error> {
    let mut count = 0;
    while summands.len() > 1 {
        let mut sums = Vec::new();
        for operands in summands.chunks(SUMMANDS) {
            let attributes =
                Attributes::new().with_dtype("T", DType::F32).with_int("N", operands.len() as i64);
            let name = format!("objective/total_loss_{count}");
            sums.push(graph.add(name, "AddN", attributes, operands)?.into());
            count += 1;
        }
        summands = sums;
    }
    summands.pop().ok_or_else(|| {
        mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::InvalidGraph, "nothing to sum")
    })
}

fn into_engine(error: mobilenet_formats::Error) -> mobilenet_engine::Error {
    mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::Shape, error.to_string())
}
