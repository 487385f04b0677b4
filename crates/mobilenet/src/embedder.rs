//! [`Embedder`]: photos or tensors to feature vectors, or to any other output of a module.

use std::path::Path;
use std::sync::Arc;

use mobilenet_formats::Tensor;
use mobilenet_vision::{Image, Scratch};

use crate::error::Result;
use crate::file::Photos;
use crate::module::{Module, Request};
use crate::preprocessing::Preprocessing;
use crate::runner::Runner;

/// Turns photos into feature vectors. Cheap to clone, safe to share between threads.
///
/// ```no_run
/// use mobilenet::{Embedder, Module};
///
/// let embedder = Embedder::options().l2_normalize(true).build(Module::load("1.tar.gz")?)?;
/// let vector = embedder.worker().embed_path("photo.jpg")?;
/// assert_eq!(vector.len(), embedder.shape().iter().product::<usize>());
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    module: Module,
    request: Request,
    preprocessing: Preprocessing,
    l2_normalize: bool,
    shape: Vec<usize>,
}

/// Which output an [`Embedder`] gives, and of what.
#[derive(Clone, Debug, Default)]
pub struct EmbedderOptions {
    signature: Option<String>,
    output: Option<String>,
    preprocessing: Option<Preprocessing>,
    l2_normalize: bool,
}

impl EmbedderOptions {
    /// The signature to call; by default `image_feature_vector`, or `default` without one.
    #[must_use]
    pub fn signature(mut self, name: impl Into<String>) -> Self {
        self.signature = Some(name.into());
        self
    }

    /// The output to take; by default `default`. Any end point that the signature lists will do.
    #[must_use]
    pub fn output(mut self, name: impl Into<String>) -> Self {
        self.output = Some(name.into());
        self
    }

    /// Prepares photos in this way.
    #[must_use]
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// Scales each image's values to Euclidean length 1. All zeros stay zeros.
    #[must_use]
    pub fn l2_normalize(mut self, yes: bool) -> Self {
        self.l2_normalize = yes;
        self
    }

    /// The embedder of `module`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a signature or output that the
    /// module does not have; its own are listed.
    pub fn build(self, module: Module) -> Result<Embedder> {
        let preprocessing = match self.preprocessing {
            Some(chosen) => chosen,
            None => module.preprocessing()?,
        };
        let signature = match self.signature {
            Some(name) => name,
            None => module.feature_signature()?.to_owned(),
        };
        let size = (preprocessing.height, preprocessing.width);
        let mut request = Request::new(signature).images(1, size);
        if let Some(output) = self.output {
            request = request.outputs([output]);
        }
        let shape = per_image(module.runner(&request)?.output_shape(0));
        let l2_normalize = self.l2_normalize;
        Ok(Embedder(Arc::new(Inner { module, request, preprocessing, l2_normalize, shape })))
    }
}

fn per_image(shape: &[usize]) -> Vec<usize> {
    shape.split_first().map(|(_, rest)| rest.to_vec()).unwrap_or_default()
}

impl Embedder {
    /// The feature vectors of `module`, with everything as the module decides.
    ///
    /// # Errors
    /// As [`EmbedderOptions::build`].
    pub fn new(module: Module) -> Result<Self> {
        Self::options().build(module)
    }

    /// To choose the signature, the output and more.
    pub fn options() -> EmbedderOptions {
        EmbedderOptions::default()
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.0.module
    }

    /// The shape of one image's output, at the module's image size: `[256]` for a vector,
    /// `[h, w, c]` for an end point.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// A worker for one thread. Making one is cheap; weights are shared.
    pub fn worker(&self) -> EmbedWorker {
        let photos = Photos::new(self.0.preprocessing.decode);
        EmbedWorker { embedder: self.clone(), photos, runner: None, scratch: Scratch::default() }
    }
}

/// An [`Embedder`] at work on one thread.
#[derive(Debug)]
pub struct EmbedWorker {
    embedder: Embedder,
    photos: Photos,
    runner: Option<Runner>,
    scratch: Scratch,
}

impl EmbedWorker {
    /// The output for the image file at `path`, row-major, of [`Embedder::shape`].
    ///
    /// # Errors
    /// If the file cannot be read or decoded.
    pub fn embed_path(&mut self, path: impl AsRef<Path>) -> Result<Vec<f32>> {
        let image = self.photos.open(path.as_ref())?;
        let values = self.embed_image(&image);
        self.photos.recycle(image);
        values
    }

    /// The output for a decoded image.
    ///
    /// # Errors
    /// If the crop leaves nothing of it.
    pub fn embed_image(&mut self, image: &Image) -> Result<Vec<f32>> {
        let Inner { module, request, preprocessing, l2_normalize, .. } = &*self.embedder.0;
        let runner = match &mut self.runner {
            Some(runner) => runner,
            empty => empty.insert(module.runner(request)?),
        };
        preprocessing.run(image, runner.input_mut(), &mut self.scratch)?;
        runner.run()?;
        let mut values = runner.output(0).to_vec();
        if *l2_normalize {
            normalize(&mut values);
        }
        Ok(values)
    }

    /// The outputs for prepared images, `[n, h, w, 3]`, `float32` in [0, 1] or `uint8`: `[n, …]`.
    ///
    /// # Errors
    /// If the tensor does not fit the signature, or its values are far outside [0, 1].
    pub fn embed_tensor(&mut self, images: &Tensor) -> Result<Tensor> {
        let Inner { module, request, l2_normalize, .. } = &*self.embedder.0;
        let mut output = module.call_request(request, images)?;
        if *l2_normalize && let Some(rows) = output.shape().first().copied() {
            let length = output.len() / rows.max(1);
            let values = output.as_f32_mut().unwrap_or_default();
            values.chunks_exact_mut(length.max(1)).for_each(normalize);
        }
        Ok(output)
    }
}

/// Scales `values` to Euclidean length 1; summed in double precision.
fn normalize(values: &mut [f32]) {
    let length = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_vectors_have_length_one_and_zeros_stay() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0; 4];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 4]);
    }
}
