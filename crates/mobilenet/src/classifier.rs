//! [`Classifier`]: photos to labels. A module's classification signature, its preprocessing and
//! its labels in one piece; a [`Worker`] of it belongs to one thread and allocates nothing between
//! photos but the photo itself.

use std::path::Path;
use std::sync::Arc;

use mobilenet_engine::{Plan, Shape};
use mobilenet_vision::{Image, Labels, Scratch};

use crate::choice::{Choice, Prediction};
use crate::error::{Error, ErrorKind, Result};
use crate::file::Photos;
use crate::module::{Module, Request};
use crate::preprocessing::Preprocessing;
use crate::runner::Runner;
use crate::signature::Scores;

/// Names what photos show. Cheap to clone, safe to share between threads.
///
/// ```no_run
/// use mobilenet::{Classifier, Module};
///
/// let classifier = Classifier::new(Module::load("mobilenet_v1_025_192/1.tar.gz")?)?;
/// for prediction in classifier.classify_path("photo.jpg", 5)? {
///     println!("{:.1}% {}", prediction.probability * 100.0, prediction.label);
/// }
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Classifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    module: Module,
    request: Request,
    labels: Labels,
    preprocessing: Preprocessing,
}

/// What a [`Classifier`] does differently from what its module decides.
#[derive(Clone, Debug, Default)]
pub struct ClassifierOptions {
    labels: Option<Labels>,
    preprocessing: Option<Preprocessing>,
}

impl ClassifierOptions {
    /// Uses these labels instead of the module's own or ImageNet's.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Prepares photos in this way.
    #[must_use]
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// The classifier of `module`.
    ///
    /// # Errors
    /// If the module has no classification signature, or the labels do not fit its classes.
    pub fn build(self, module: Module) -> Result<Classifier> {
        let preprocessing = match self.preprocessing {
            Some(chosen) => chosen,
            None => module.preprocessing()?,
        };
        let size = (preprocessing.height, preprocessing.width);
        let request = Request::new(module.classification_signature()?).images(1, size);
        let classes = classes(&module.plan(&request)?.0)?;
        let labels = match self.labels {
            Some(labels) => labels,
            None if !module.classifies() => {
                let message = "the module gives feature vectors and no classes: embed writes them, \
                    fine-tune learns classes from them";
                return Err(Error::new(ErrorKind::Labels, message));
            }
            None => module.labels(classes)?,
        };
        labels.check_count(classes)?;
        Ok(Classifier(Arc::new(Inner { module, request, labels, preprocessing })))
    }
}

/// The number of classes that a plan for one image answers for.
fn classes(plan: &Plan) -> Result<usize> {
    let shape = plan.outputs().first().map(|output| &output.shape);
    match shape.and_then(Shape::dims) {
        Some([None | Some(1), Some(classes)]) => Ok(*classes),
        _ => {
            let shape = shape.cloned().unwrap_or_default();
            let message = format!("a classifier's output is [n, classes], the module's is {shape}");
            Err(Error::new(ErrorKind::Input, message))
        }
    }
}

impl Classifier {
    /// The classifier of `module`, with everything as the module decides.
    ///
    /// # Errors
    /// As [`ClassifierOptions::build`].
    pub fn new(module: Module) -> Result<Self> {
        Self::options().build(module)
    }

    /// To override labels or preprocessing.
    pub fn options() -> ClassifierOptions {
        ClassifierOptions::default()
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.0.module
    }

    /// The names of the classes.
    pub fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// How photos are prepared.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.0.preprocessing
    }

    /// A worker for one thread. Making one is cheap; weights are shared.
    pub fn worker(&self) -> Worker {
        let photos = Photos::new(self.0.preprocessing.decode);
        Worker { classifier: self.clone(), photos, runner: None, scratch: Scratch::default() }
    }

    /// The `top` likeliest labels of the image file at `path`.
    ///
    /// # Errors
    /// If the file cannot be read or decoded.
    pub fn classify_path(&self, path: impl AsRef<Path>, top: usize) -> Result<Vec<Prediction>> {
        self.worker().classify_path(path, &Choice::top(top))
    }

    /// The `top` likeliest labels of an image file's bytes.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn classify_bytes(&self, file: &[u8], top: usize) -> Result<Vec<Prediction>> {
        self.worker().classify_bytes(file, &Choice::top(top))
    }

    /// The `top` likeliest labels of a decoded image.
    ///
    /// # Errors
    /// If the crop leaves nothing of it.
    pub fn classify_image(&self, image: &Image, top: usize) -> Result<Vec<Prediction>> {
        self.worker().classify_image(image, &Choice::top(top))
    }
}

/// A [`Classifier`] at work on one thread.
#[derive(Debug)]
pub struct Worker {
    classifier: Classifier,
    photos: Photos,
    runner: Option<Runner>,
    scratch: Scratch,
}

impl Worker {
    /// The chosen labels of the image file at `path`.
    ///
    /// # Errors
    /// If the file cannot be read or decoded.
    pub fn classify_path(
        &mut self,
        path: impl AsRef<Path>,
        choice: &Choice,
    ) -> Result<Vec<Prediction>> {
        let image = self.photos.open(path.as_ref())?;
        let predictions = self.classify_image(&image, choice);
        self.photos.recycle(image);
        predictions
    }

    /// The chosen labels of an image file's bytes.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn classify_bytes(&mut self, file: &[u8], choice: &Choice) -> Result<Vec<Prediction>> {
        let image = self.photos.decode(file)?;
        let predictions = self.classify_image(&image, choice);
        self.photos.recycle(image);
        predictions
    }

    /// Decodes an image file's bytes as the classifier wants them.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn decode(&self, file: &[u8]) -> Result<Image> {
        self.classifier.preprocessing().decode(file)
    }

    /// The chosen labels of a decoded image.
    ///
    /// # Errors
    /// If the crop leaves nothing of it.
    pub fn classify_image(&mut self, image: &Image, choice: &Choice) -> Result<Vec<Prediction>> {
        let logits = self.logits(image)?;
        Ok(choice.pick_scores(self.classifier.labels(), &logits, self.classifier.module().scores()))
    }

    /// The logits of a decoded image, one for each class; probabilities where
    /// [`Module::scores`](crate::Module::scores) says so.
    ///
    /// # Errors
    /// If the crop leaves nothing of it.
    pub fn logits(&mut self, image: &Image) -> Result<Vec<f32>> {
        let Inner { module, request, preprocessing, .. } = &*self.classifier.0;
        let runner = match &mut self.runner {
            Some(runner) => runner,
            empty => empty.insert(module.runner(request)?),
        };
        preprocessing.run(image, runner.input_mut(), &mut self.scratch)?;
        runner.run()?;
        Ok(runner.output(0).to_vec())
    }

    /// Numbers of which softmax makes the probabilities of a decoded image: its logits, or the
    /// logarithms of probabilities.
    pub(crate) fn log_scores(&mut self, image: &Image) -> Result<Vec<f32>> {
        let mut scores = self.logits(image)?;
        if self.classifier.module().scores() == Scores::Probabilities {
            scores.iter_mut().for_each(|score| *score = score.max(f32::MIN_POSITIVE).ln());
        }
        Ok(scores)
    }
}
