//! One step after another: forward, backward, update.
//!
//! A [`Trainer`] owns the values that training moves. The graph of a step is an ordinary graph
//! ([`Objective`] and [`differentiate`] added it to the module's), compiled to an ordinary plan
//! and run by an ordinary session, which keeps the moving averages and applies their updates.

use std::sync::Arc;
use std::time::Duration;

use mobilenet_engine::{
    Elements, Graph, Isa, Plan, PlanOptions, Pool, Session, Shape, TensorView, differentiate,
};
use mobilenet_formats::Tensor;

use crate::objective::Objective;
use crate::optimizer::{Optimizer, Step};
use crate::{Error, ErrorKind, Result};

/// What is trained, and on what.
#[derive(Clone, Debug)]
pub struct TrainingGraph {
    /// The graph with its objective, before gradients.
    pub graph: Graph,
    /// Tensor that the images go into, `[n, height, width, 3]`; or one further on, `[n, height,
    /// width, channels]`, where what comes before does not learn.
    pub images: String,
    /// What is minimised.
    pub objective: Objective,
    /// Names of the variables to train.
    pub trainable: Vec<String>,
    /// Names of operations that run with each step: updates of moving averages.
    pub update_ops: Vec<String>,
}

/// Sizes of a step and where it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// Images in a batch.
    pub batch_size: usize,
    /// `[height, width]` of the images, or of what the graph takes in their place.
    pub image_size: [usize; 2],
    /// Threads.
    pub threads: usize,
    /// Decides what dropout draws.
    pub seed: u64,
}

/// Losses of one step, before its update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Cross-entropy, averaged over the batch.
    pub loss: f32,
    /// With regularisation.
    pub total_loss: f32,
}

/// A variable that training moves, with the optimiser's slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its value.
    pub value: Vec<f32>,
    /// What the optimiser keeps beside it.
    pub slots: Vec<Vec<f32>>,
}

/// Trains the variables of a graph.
pub struct Trainer {
    session: Session,
    variables: Vec<Trained>,
    /// Index of the first slope among the outputs.
    slopes: usize,
    optimizer: Box<dyn Optimizer>,
    weight_decay: f32,
    steps: u64,
    batch: [usize; 4],
    classes: usize,
    /// One for each image of a batch.
    ones: Vec<f32>,
}

impl Trainer {
    /// Compiles the step. `variables` gives every variable's first value by name.
    ///
    /// # Errors
    /// If a variable does not exist, does not influence the loss, or something on the way to it
    /// has no gradient.
    pub fn new(
        training: TrainingGraph,
        variables: &dyn Fn(&str) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error>,
        optimizer: Box<dyn Optimizer>,
        options: StepOptions,
    ) -> Result<Self> {
        Self::on(Isa::detect(), training, variables, optimizer, options)
    }

    /// As [`Trainer::new`], for a chosen instruction set.
    ///
    /// # Errors
    /// As [`Trainer::new`]; if this processor lacks the instruction set.
    pub fn on(
        isa: Isa,
        training: TrainingGraph,
        variables: &dyn Fn(&str) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error>,
        optimizer: Box<dyn Optimizer>,
        options: StepOptions,
    ) -> Result<Self> {
        let TrainingGraph { mut graph, images, objective, trainable, update_ops } = training;
        let names: Vec<&str> = trainable.iter().map(String::as_str).collect();
        let slopes = differentiate(&mut graph, &objective.total_loss, &names).map_err(model)?;
        let mut outputs = vec![objective.loss.clone(), objective.total_loss.clone()];
        for (name, slope) in names.iter().zip(slopes) {
            let slope = slope.ok_or_else(|| {
                Error::new(ErrorKind::Model, format!("the loss does not depend on {name:?}"))
            })?;
            outputs.push(graph.tensor_name(slope));
        }
        outputs.push(objective.logits.clone());
        let batch = input_shape(&graph, &images, options)?;
        let labels = graph.tensor(&objective.labels).map_err(model)?;
        let classes = graph.fact(labels).shape.last().unwrap_or(0);
        let plan_options = PlanOptions {
            isa,
            threads: options.threads,
            targets: update_ops,
            variables: trainable.clone(),
            ..PlanOptions::default()
        };
        let inputs = [
            (images.as_str(), Shape::known(&batch)),
            (objective.labels.as_str(), Shape::known(&[options.batch_size, classes])),
            (objective.weights.as_str(), Shape::known(&[options.batch_size])),
        ];
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let plan = Plan::compile(&graph, variables, &inputs, &outputs, &plan_options);
        let pool = Arc::new(Pool::new(options.threads));
        let mut session = Session::new(Arc::new(plan.map_err(model)?), pool);
        session.set_seed(options.seed, 0);
        let variables = trained(&trainable, variables, &*optimizer)?;
        let (slopes, weight_decay, steps) = (2, 0.0, 0);
        let ones = vec![1.0; options.batch_size];
        Ok(Self {
            session,
            variables,
            slopes,
            optimizer,
            weight_decay,
            steps,
            batch,
            classes,
            ones,
        })
    }

    /// Takes this share, times the learning rate, away from every kernel in each step, besides
    /// what the graph's own regularisation does. Depthwise kernels, biases and batch norm stay.
    #[must_use]
    pub fn with_weight_decay(mut self, share: f32) -> Self {
        self.weight_decay = share;
        self
    }

    /// One step on a batch: `images` are `[n, height, width, 3]` with values in [0, 1],
    /// `labels` the wanted probabilities, `[n, classes]`.
    ///
    /// # Errors
    /// If a slice does not fit, or the loss or a slope is no longer a number. Then the moving
    /// averages are updated, and where it is a slope, so may variables before its own be: do not
    /// go on with this trainer, but from values kept before.
    pub fn step(&mut self, images: &[f32], labels: &[f32], learning_rate: f32) -> Result<Losses> {
        let ones = std::mem::take(&mut self.ones);
        let losses = self.step_weighted(images, labels, &ones, learning_rate);
        self.ones = ones;
        losses
    }

    /// As [`Trainer::step`]; the loss of each image is multiplied by its weight in `weights`, `[n]`.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_weighted(
        &mut self,
        images: &[f32],
        labels: &[f32],
        weights: &[f32],
        learning_rate: f32,
    ) -> Result<Losses> {
        let losses = self.run(images, labels, weights)?;
        let number = self.steps + 1;
        if !losses.total_loss.is_finite() {
            return Err(diverged(number, "the loss", learning_rate));
        }
        for (index, variable) in self.variables.iter_mut().enumerate() {
            let slope = self.session.output(self.slopes + index).map_err(model)?;
            let slope = slope.as_f32().unwrap_or_default();
            if slope.iter().any(|value| !value.is_finite()) {
                let what = format!("the gradient of {:?}", variable.name);
                return Err(diverged(number, &what, learning_rate));
            }
            if decays(variable) {
                let keep = 1.0 - learning_rate * self.weight_decay;
                variable.value.iter_mut().for_each(|value| *value *= keep);
            }
            let step = Step { learning_rate, number };
            self.optimizer.apply(step, &mut variable.value, slope, &mut variable.slots);
        }
        self.hand_over()?;
        self.steps = number;
        Ok(losses)
    }

    /// The losses of a batch and its slopes, without a step; moving averages are updated.
    fn run(&mut self, images: &[f32], labels: &[f32], weights: &[f32]) -> Result<Losses> {
        let [label_shape, weight_shape] = [&[self.batch[0], self.classes][..], &self.batch[..1]];
        let images = TensorView::new(&self.batch, Elements::F32(images)).map_err(model)?;
        let labels = TensorView::new(label_shape, Elements::F32(labels)).map_err(model)?;
        let weights = TensorView::new(weight_shape, Elements::F32(weights)).map_err(model)?;
        self.session.run(&[images, labels, weights]).map_err(model)?;
        Ok(Losses { loss: self.scalar(0)?, total_loss: self.scalar(1)? })
    }

    fn scalar(&self, output: usize) -> Result<f32> {
        let value = self.session.output(output).map_err(model)?;
        Ok(value.as_f32().and_then(|values| values.first().copied()).unwrap_or(f32::NAN))
    }

    /// Gives the session the new values.
    fn hand_over(&mut self) -> Result<()> {
        for variable in &self.variables {
            let value = TensorView::new(&variable.shape, Elements::F32(&variable.value));
            let set = value.and_then(|value| self.session.set_variable(&variable.name, value));
            set.map_err(model)?;
        }
        Ok(())
    }

    /// The plan of a step: forward and backward; the update is the optimiser's.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        self.session.plan()
    }

    /// Starts (anew) or stops adding up the time of each step of the plan.
    pub fn set_profiling(&mut self, on: bool) {
        self.session.set_profiling(on);
    }

    /// The time spent in each step of the plan since profiling was started.
    #[must_use]
    pub fn profile(&self) -> Option<&[Duration]> {
        self.session.profile()
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The variables that training moves.
    #[must_use]
    pub fn trained(&self) -> &[Trained] {
        &self.variables
    }

    /// The slope of trained variable `index` in the last step.
    ///
    /// # Errors
    /// If there is no such variable or no step was taken.
    pub fn slope(&self, index: usize) -> Result<&[f32]> {
        let slope = self.session.output(self.slopes + index).map_err(model)?;
        slope.as_f32().ok_or_else(|| Error::new(ErrorKind::Model, "a slope that is not float32"))
    }

    /// What the network answered in the last step, `[n, classes]`, before its update.
    ///
    /// # Errors
    /// If no step was taken.
    pub fn logits(&self) -> Result<&[f32]> {
        let logits = self.session.output(self.slopes + self.variables.len()).map_err(model)?;
        logits.as_f32().ok_or_else(|| Error::new(ErrorKind::Model, "logits that are not float32"))
    }

    /// Width of the logits.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Calls `visit` with name and value of every float32 variable the session keeps.
    ///
    /// # Errors
    /// If the session refuses.
    pub fn visit_variables(&self, mut visit: impl FnMut(&str, &[f32])) -> Result<()> {
        for name in self.session.variables() {
            let view = self.session.variable(name).map_err(model)?;
            if let Some(values) = view.as_f32() {
                visit(name, values);
            }
        }
        Ok(())
    }

    /// Every variable the session keeps, moving averages too, by name.
    ///
    /// # Errors
    /// If the session refuses.
    pub fn variables(&self) -> Result<Vec<(String, Tensor)>> {
        let names: Vec<String> = self.session.variables().map(str::to_owned).collect();
        let value = |name: String| -> Result<(String, Tensor)> {
            let view = self.session.variable(&name).map_err(model)?;
            let tensor = view.to_tensor().map_err(model)?;
            Ok((name, tensor))
        };
        names.into_iter().map(value).collect()
    }

    /// Puts back what [`Trainer::trained`], [`Trainer::variables`] and [`Trainer::steps`] gave,
    /// so that the next step is the one that would have followed.
    ///
    /// # Errors
    /// If a variable is missing or has another shape.
    pub fn restore(
        &mut self,
        steps: u64,
        trained: Vec<Trained>,
        variables: &[(String, Tensor)],
        seed: u64,
    ) -> Result<()> {
        let same = |(a, b): (&Trained, &Trained)| {
            a.name == b.name && a.shape == b.shape && a.slots.len() == b.slots.len()
        };
        if trained.len() != self.variables.len() || !trained.iter().zip(&self.variables).all(same) {
            let message = "the checkpoint's variables are not this run's";
            return Err(Error::new(ErrorKind::Checkpoint, message));
        }
        for (name, value) in variables {
            let view = TensorView::of(value).map_err(model)?;
            self.session.set_variable(name, view).map_err(model)?;
        }
        self.variables = trained;
        self.steps = steps;
        self.session.set_seed(seed, steps);
        self.hand_over()
    }
}

/// `[n, height, width, channels]` of what the graph takes: what the graph leaves open, the options
/// say.
fn input_shape(graph: &Graph, images: &str, options: StepOptions) -> Result<[usize; 4]> {
    let fact = graph.fact(graph.tensor(images).map_err(model)?);
    let dims = fact.shape.dims().unwrap_or_default();
    let side = |axis: usize, open: usize| dims.get(axis).copied().flatten().unwrap_or(open);
    let [height, width] = options.image_size;
    Ok([options.batch_size, side(1, height), side(2, width), side(3, 3)])
}

/// Kernels shrink; depthwise ones (one output a channel), biases and batch norm do not.
fn decays(variable: &Trained) -> bool {
    variable.shape.len() >= 2 && !variable.name.ends_with("depthwise_weights")
}

fn trained(
    names: &[String],
    variables: &dyn Fn(&str) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error>,
    optimizer: &dyn Optimizer,
) -> Result<Vec<Trained>> {
    let read = |name: &String| {
        let tensor = variables(name).map_err(model)?;
        let value = tensor.as_f32().map(<[f32]>::to_vec).ok_or_else(|| {
            Error::new(ErrorKind::Model, format!("{name:?} is {}, not float32", tensor.dtype()))
        })?;
        let slots = optimizer.slots().iter().map(|slot| vec![slot.initial; value.len()]).collect();
        Ok(Trained { name: name.clone(), shape: tensor.shape().to_vec(), value, slots })
    };
    names.iter().map(read).collect()
}

fn model(error: mobilenet_engine::Error) -> Error {
    Error::new(ErrorKind::Model, "the training step").because(error)
}

fn diverged(step: u64, what: &str, learning_rate: f32) -> Error {
    Error::new(
        ErrorKind::Diverged,
        format!(
            "step {step}: {what} is not a number (learning rate {learning_rate}), and some \
             variables may have moved already; the last checkpoint is from before this step, but \
             goes on only at the rate it was made with: begin anew in another folder with a \
             learning rate ten times lower, or a longer warm-up"
        ),
    )
}
