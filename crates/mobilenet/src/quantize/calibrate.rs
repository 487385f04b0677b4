//! The network of floats at work: what values its tensors have.

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_engine::{Plan, PlanOptions, Pool, Session, Shape, TensorId};
use mobilenet_formats::Tensor;

use super::histogram::{Histogram, RangeMethod};
use super::insert::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Bare;

/// What was seen of some tensors.
pub(crate) struct Calibration {
    session: Session,
    tensors: Vec<TensorId>,
    seen: HashMap<TensorId, Seen>,
}

#[derive(Default)]
struct Seen {
    histogram: Histogram,
    /// Sum by channel, the last dimension, and how many values each sum has.
    sums: Vec<f64>,
    count: u64,
    /// The largest magnitude of each channel.
    highs: Vec<f32>,
}

impl Calibration {
    /// Prepares to watch the tensors that are rounded.
    fn new(bare: &Bare, places: &Places) -> Result<Self> {
        let tensors = places.watched();
        let names: Vec<String> =
            tensors.iter().map(|&tensor| bare.graph.tensor_name(tensor)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let none = |name: &str| {
            let message = format!("variable `{name}` in a frozen graph");
            Err(mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::NotFound, message))
        };
        let (height, width) = bare.size;
        let shape = Shape::known(&[1, height, width, 3]);
        let options = PlanOptions::default();
        let plan = Plan::compile(&bare.graph, &none, &[(&bare.images, shape)], &names, &options)?;
        let session = Session::new(Arc::new(plan), Arc::new(Pool::single()));
        Ok(Self { session, tensors, seen: HashMap::new() })
    }

    /// What `images` make of the network.
    pub(crate) fn of_images(bare: &Bare, places: &Places, images: &[Tensor]) -> Result<Self> {
        let mut calibration = Self::new(bare, places)?;
        images.iter().try_for_each(|image| calibration.watch(image))?;
        Ok(calibration)
    }

    /// Runs one image.
    fn watch(&mut self, image: &Tensor) -> Result<()> {
        let outputs = self.session.call(&[image])?;
        for (&tensor, output) in self.tensors.iter().zip(&outputs) {
            let values = output.as_f32().unwrap_or_default();
            let channels = output.shape().last().copied().unwrap_or(1).max(1);
            self.seen.entry(tensor).or_default().add(values, channels);
        }
        Ok(())
    }

    /// The range that `tensor` gets.
    pub(crate) fn range(&self, tensor: TensorId, method: RangeMethod) -> Result<(f64, f64)> {
        Ok(self.of(tensor)?.histogram.range(method))
    }

    /// The mean of each channel.
    pub(super) fn means(&self, tensor: TensorId) -> Result<Vec<f64>> {
        let Seen { sums, count, .. } = self.of(tensor)?;
        Ok(sums.iter().map(|sum| sum / (*count).max(1) as f64).collect())
    }

    /// The largest magnitude of each channel.
    pub(super) fn highs(&self, tensor: TensorId) -> Result<&[f32]> {
        Ok(&self.of(tensor)?.highs)
    }

    fn of(&self, tensor: TensorId) -> Result<&Seen> {
        let missing = || Error::new(ErrorKind::Graph, "a tensor that was not watched");
        self.seen.get(&tensor).ok_or_else(missing)
    }
}

impl Seen {
    fn add(&mut self, values: &[f32], channels: usize) {
        self.histogram.add(values);
        self.sums.resize(channels, 0.0);
        self.highs.resize(channels, 0.0);
        for pixel in values.chunks_exact(channels) {
            self.sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
            let highs = self.highs.iter_mut().zip(pixel);
            highs.for_each(|(high, value)| *high = high.max(value.abs()));
            self.count += 1;
        }
    }
}
