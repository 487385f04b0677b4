//! What a training run says while it goes on: a bar and a line for each epoch on stderr, one
//! JSON object for each step and epoch on stdout, event files for TensorBoard.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use mobilenet::training::{Curve, Epoch, Event, TensorBoard};
use serde_json::json;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::terminal;

const TEMPLATE: &str = "{bar:24} {human_pos}/{human_len} steps  {eta} left  {msg}";

/// What the bar says of each preparation.
const PREPARATIONS: &[(&str, &str)] = &[
    ("division", "  read to divide them"),
    ("hashes", "  read"),
    ("features", "  features computed"),
    ("classifier", "  new classifier warmed up"),
    ("answers", "  answered in floats"),
];

/// Share of the old value that the shown loss and accuracy keep.
const SMOOTHING: f64 = 0.95;

/// Hears of a run and tells of it.
pub(crate) struct TrainingLog {
    jsonl: bool,
    quiet: bool,
    interrupt: Interrupt,
    tensorboard: Option<TensorBoard>,
    bar: Option<ProgressBar>,
    /// What is prepared, and how far.
    preparing: Option<(&'static str, Progress)>,
    batch_size: usize,
    per_epoch: u64,
    began: Instant,
    first: u64,
    /// Smoothed loss and accuracy.
    smooth: Option<(f64, f64)>,
    /// Photos that could not be used.
    skipped: BTreeSet<String>,
    broken: Option<Failure>,
}

impl TrainingLog {
    pub(crate) fn new(jsonl: bool, quiet: bool, interrupt: Interrupt) -> TrainingLog {
        TrainingLog {
            jsonl,
            quiet,
            interrupt,
            tensorboard: None,
            bar: None,
            preparing: None,
            batch_size: 0,
            per_epoch: 1,
            began: Instant::now(),
            first: 0,
            smooth: None,
            skipped: BTreeSet::new(),
            broken: None,
        }
    }

    /// Writes event files below `folder`, too.
    pub(crate) fn with_tensorboard(self, folder: &Path) -> TrainingLog {
        TrainingLog { tensorboard: Some(TensorBoard::new(folder)), ..self }
    }

    /// Tells of `event`; breaks after Ctrl-C, or when nobody reads any more.
    pub(crate) fn hear(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        if let Err(failure) = self.tell(event) {
            self.broken = Some(failure);
        }
        if self.broken.is_some() || self.interrupt.pressed() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Whether Ctrl-C stopped it.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.pressed()
    }

    /// Takes the bar away; the photos that could not be used.
    pub(crate) fn finish(mut self) -> Result<BTreeSet<String>, Failure> {
        self.end_preparing();
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.broken.map_or(Ok(self.skipped), Err)
    }

    fn tell(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        if let Some(board) = &mut self.tensorboard {
            board.hear(event).map_err(mobilenet::Error::from)?;
        }
        match event {
            Event::Started { step, steps, per_epoch, batch_size } => {
                (self.batch_size, self.per_epoch) = (*batch_size, *per_epoch);
                (self.began, self.first) = (Instant::now(), *step);
                self.end_preparing();
                self.start(*step, *steps);
                self.line(&json!({"event": "start", "step": step, "steps": steps, "steps_per_epoch": per_epoch, "batch_size": batch_size}))
            }
            Event::NothingToResume { folder } => {
                self.say(&format!(
                    "no checkpoint in {} to go on from: beginning at the start",
                    folder.display()
                ));
                self.line(&json!({"event": "nothing_to_resume", "path": folder}))
            }
            Event::Preparing { what, done, total } => {
                self.prepare(what, *done, *total);
                self.line(&json!({"event": "preparing", "what": what, "images": done, "of": total}))
            }
            Event::Stepped { step, learning_rate, losses, accuracy } => {
                self.step(*step, f64::from(losses.loss), *accuracy);
                self.line(&json!({"event": "step", "step": step, "epoch": *step as f64 / self.per_epoch as f64, "learning_rate": learning_rate, "loss": losses.loss, "total_loss": losses.total_loss, "accuracy": accuracy, "images_per_second": self.speed(*step)}))
            }
            Event::Validating { done, total } => self.look("validating", *done, *total),
            Event::Testing { done, total } => self.look("testing", *done, *total),
            Event::Epoch(epoch) => {
                self.say(&describe(epoch));
                self.line(&epoch_line(epoch)?)
            }
            Event::Skipped { source, reason } => {
                self.skipped.insert((*source).to_owned());
                self.beside(|| terminal::warning(format_args!("skipped {source}: {reason}")));
                self.line(&json!({"event": "skipped", "path": source, "reason": reason}))
            }
            Event::Saved { path, step } => {
                self.line(&json!({"event": "checkpoint", "path": path, "step": step}))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, step: u64, steps: u64) {
        if step > 0 {
            self.say(&format!("going on after step {step} of {steps}"));
        }
        if self.quiet || !terminal::stderr_is_terminal() {
            return;
        }
        let bar = ProgressBar::new(steps).with_position(step);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.reset_eta();
        self.bar = Some(bar);
    }

    fn prepare(&mut self, what: &'static str, done: u64, total: u64) {
        if self.preparing.as_ref().is_none_or(|(before, _)| *before != what) {
            self.end_preparing();
            let shares_terminal = self.jsonl && terminal::stdout_is_terminal();
            let progress = Progress::new(Some(total as usize), self.quiet, shares_terminal);
            let about = PREPARATIONS.iter().find(|(name, _)| *name == what);
            self.preparing = Some((what, progress.about(about.map_or("", |(_, about)| about))));
        }
        if let Some((_, progress)) = &mut self.preparing {
            progress.reach(done);
        }
    }

    fn end_preparing(&mut self) {
        if let Some((_, progress)) = self.preparing.take() {
            progress.finish();
        }
    }

    /// Tells how many images were looked at, with values that do not change meanwhile.
    fn look(&self, event: &str, done: u64, total: u64) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{event} {done}/{total}"));
        }
        self.line(&json!({"event": event, "images": done, "of": total}))
    }

    fn step(&mut self, step: u64, loss: f64, accuracy: f64) {
        let (old_loss, old_accuracy) = self.smooth.unwrap_or((loss, accuracy));
        let mix = |old: f64, new: f64| old * SMOOTHING + new * (1.0 - SMOOTHING);
        let smooth = (mix(old_loss, loss), mix(old_accuracy, accuracy));
        self.smooth = Some(smooth);
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            let speed = self.speed(step);
            bar.set_message(format!(
                "{speed:.0} images/s  loss {:.3}  accuracy {:.1}%",
                smooth.0,
                100.0 * smooth.1
            ));
        }
    }

    /// Images a second in this sitting, validation and all.
    fn speed(&self, step: u64) -> f64 {
        let images = (step - self.first.min(step)) as f64 * self.batch_size as f64;
        images / self.began.elapsed().as_secs_f64().max(1e-9)
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.beside(|| terminal::note(text));
        }
    }

    fn beside(&self, print: impl FnOnce()) {
        match (&self.bar, &self.preparing) {
            (Some(bar), _) => bar.suspend(print),
            (None, Some((_, progress))) => progress.beside(print),
            (None, None) => print(),
        }
    }

    fn line(&self, object: &serde_json::Value) -> Result<(), Failure> {
        if self.jsonl { print_line(object) } else { Ok(()) }
    }
}

/// What `--jsonl` prints of an epoch.
pub(crate) fn epoch_line(epoch: &Epoch) -> serde_json::Result<serde_json::Value> {
    let mut object = serde_json::to_value(epoch)?;
    if let Some(object) = object.as_object_mut() {
        object.insert("event".to_owned(), "epoch".into());
    }
    Ok(object)
}

/// Prints one line of JSON to stdout, there at once.
pub(crate) fn print_line(object: &serde_json::Value) -> Result<(), Failure> {
    print_text(&format!("{object}\n"))
}

/// Prints `text` to stdout, there at once.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn describe(epoch: &Epoch) -> String {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let mut text = format!(
        "epoch {:.4}  loss {:.4}  accuracy {}",
        epoch.epoch,
        epoch.train_loss,
        percent(epoch.train_top_1)
    );
    if let (Some(loss), Some(top_1), Some(top_5)) =
        (epoch.validation_loss, epoch.top_1, epoch.top_5)
    {
        text += &format!(
            "  validation: loss {loss:.4}  top-1 {}  top-5 {}",
            percent(top_1),
            percent(top_5)
        );
    }
    text + &format!("  {:.0} s", epoch.seconds)
}

/// Rows of a table of learning rates.
const ROWS: usize = 25;

/// Widest bar, in characters.
const BAR: f64 = 40.0;

/// A test of learning rates as a table with bars, every few steps a row.
pub(crate) fn learning_rates(curve: &Curve) -> String {
    let highest = curve.points.iter().map(|point| point.smoothed).fold(0.0, f64::max);
    let every = curve.points.len().div_ceil(ROWS).max(1);
    let mut text = "learning rate    loss\n".to_owned();
    for point in curve.points.iter().step_by(every) {
        let len = (point.smoothed / highest.max(f64::MIN_POSITIVE) * BAR).round() as usize;
        let bar = "▇".repeat(len);
        text += &format!("{:13.2e}  {:6.3}  {bar}\n", point.learning_rate, point.smoothed);
    }
    text
}
