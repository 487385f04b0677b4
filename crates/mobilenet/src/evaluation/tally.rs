//! Adding up an evaluation, photo by photo.

use mobilenet_vision::metrics::{Evaluation, fit_temperature};
use mobilenet_vision::{Labels, Resize, softmax, top_k};

use super::{ByResize, Evaluated, Mistake, Outcome, Sample, Temperature, Unread, too_many};
use crate::error::Result;

/// Logits that are kept for fitting a temperature: 32 MiB.
const KEPT_LOGITS: usize = 8 << 20;

/// What was counted so far.
pub(super) struct Tally<'a> {
    columns: &'a [usize],
    evaluation: Evaluation,
    by_resize: Vec<Shares>,
    resizes: &'a [Resize],
    kept: Kept,
    mistakes: Vec<Mistake>,
    most_mistakes: usize,
    failures: Vec<Unread>,
}

/// How many photos have the true class first, and among five.
#[derive(Clone, Copy, Default)]
struct Shares {
    count: u64,
    in_first: u64,
    in_first_five: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        columns: &'a [usize],
        resizes: &'a [Resize],
        most_mistakes: usize,
    ) -> Result<Self> {
        Ok(Tally {
            columns,
            evaluation: Evaluation::new(columns.len()).map_err(too_many)?,
            by_resize: vec![Shares::default(); resizes.len()],
            resizes,
            kept: Kept::new(columns.len()),
            mistakes: Vec::new(),
            most_mistakes,
            failures: Vec::new(),
        })
    }

    /// Adds a photo of the class `columns[label]`.
    pub(super) fn add(&mut self, sample: &Sample, label: usize, outcome: &Outcome) -> Result<()> {
        let all = match outcome {
            Ok(all) => all,
            Err(message) => {
                let (source, message) = (sample.source.clone(), message.clone());
                self.failures.push(Unread { source, message });
                return Ok(());
            }
        };
        let mut rows = all.iter().map(|logits| self.pick(logits));
        let logits = rows.next().unwrap_or_default();
        let others: Vec<_> = rows.collect();
        for (shares, logits) in self.by_resize.iter_mut().zip(&others) {
            shares.add(logits, label);
        }
        self.evaluation.add(&logits, label)?;
        self.note_mistake(sample, label, &logits);
        self.kept.add(&logits, label);
        Ok(())
    }

    /// The logits of the classes that are told apart.
    fn pick(&self, logits: &[f32]) -> Vec<f32> {
        let logit = |&column: &usize| logits.get(column).copied().unwrap_or(f32::NAN);
        self.columns.iter().map(logit).collect()
    }

    fn note_mistake(&mut self, sample: &Sample, label: usize, logits: &[f32]) {
        let best = top_k(logits, 1);
        let Some(predicted) = best.first().map(|best| best.index).filter(|&best| best != label)
        else {
            return;
        };
        let probabilities = softmax(logits);
        let of = |class: usize| probabilities.get(class).copied().unwrap_or(f32::NAN);
        let (confidence, probability) = (of(predicted), of(label));
        let place = self.mistakes.partition_point(|known| known.confidence >= confidence);
        if place < self.most_mistakes && !confidence.is_nan() {
            let source = sample.source.clone();
            let mistake = Mistake { source, label, predicted, confidence, probability };
            self.mistakes.insert(place, mistake);
            self.mistakes.truncate(self.most_mistakes);
        }
    }

    pub(super) fn finish(self, labels: &Labels, columns: &[usize]) -> Evaluated {
        let name = |&column: &usize| labels.get(column).unwrap_or_default().to_owned();
        let by_resize = self.resizes.iter().zip(&self.by_resize).map(|(&resize, shares)| {
            let share = |part: u64| part as f64 / shares.count as f64;
            ByResize { resize, top_1: share(shares.in_first), top_5: share(shares.in_first_five) }
        });
        Evaluated {
            classes: columns.to_vec(),
            labels: columns.iter().map(name).collect(),
            by_resize: by_resize.collect(),
            temperature: self.kept.temperature(),
            evaluation: self.evaluation,
            mistakes: self.mistakes,
            failures: self.failures,
        }
    }
}

impl Shares {
    fn add(&mut self, logits: &[f32], label: usize) {
        let best = top_k(logits, 5);
        let is_label =
            |best: &mobilenet_vision::Scored| best.index == label && !best.score.is_nan();
        self.count += 1;
        self.in_first += u64::from(best.first().is_some_and(is_label));
        self.in_first_five += u64::from(best.iter().any(is_label));
    }
}

/// Logits of all photos, or of every second, fourth, … where they are too many.
struct Kept {
    classes: usize,
    logits: Vec<f32>,
    labels: Vec<usize>,
    seen: usize,
    stride: usize,
}

impl Kept {
    fn new(classes: usize) -> Self {
        Kept { classes, logits: Vec::new(), labels: Vec::new(), seen: 0, stride: 1 }
    }

    fn add(&mut self, logits: &[f32], label: usize) {
        let wanted = self.seen.is_multiple_of(self.stride);
        self.seen += 1;
        if !wanted {
            return;
        }
        if self.logits.len() + logits.len() > KEPT_LOGITS.max(2 * self.classes) {
            self.halve();
            if !(self.seen - 1).is_multiple_of(self.stride) {
                return;
            }
        }
        self.logits.extend_from_slice(logits);
        self.labels.push(label);
    }

    fn halve(&mut self) {
        self.stride *= 2;
        let rows = self.logits.chunks_exact(self.classes.max(1)).step_by(2);
        self.logits = rows.flatten().copied().collect();
        self.labels = self.labels.iter().copied().step_by(2).collect();
    }

    fn temperature(&self) -> Option<Temperature> {
        let value = fit_temperature(&self.logits, self.classes, &self.labels).ok()?;
        let mut cooled = Evaluation::new(self.classes).ok()?;
        let mut row = Vec::with_capacity(self.classes);
        for (logits, &label) in self.logits.chunks_exact(self.classes).zip(&self.labels) {
            row.clear();
            row.extend(logits.iter().map(|&logit| (f64::from(logit) / value) as f32));
            cooled.add(&row, label).ok()?;
        }
        let reliability = cooled.reliability().clone();
        Some(Temperature { value, fitted_on: self.labels.len(), reliability })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Source;

    fn sample(name: &str) -> Sample {
        Sample { source: Source::File(name.into()), label: 0, origin: 0 }
    }

    #[test]
    fn mistakes_are_kept_most_confident_first() {
        let columns = [0, 1];
        let mut tally = Tally::new(&columns, &[], 2).unwrap();
        for (name, logit) in [("a", 1.0), ("b", 3.0), ("right", -1.0), ("c", 2.0)] {
            tally.add(&sample(name), 0, &Ok(vec![vec![0.0, logit]])).unwrap();
        }
        tally.add(&sample("gone"), 0, &Err("no".into())).unwrap();
        let done = tally.finish(&Labels::from_names(["x", "y"]).unwrap(), &columns);
        let names: Vec<_> = done.mistakes.iter().map(|m| m.source.to_string()).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!((done.evaluation.count(), done.failures.len()), (4, 1));
        assert!((done.mistakes[0].confidence + done.mistakes[0].probability - 1.0).abs() < 1e-6);
    }

    #[test]
    fn only_the_columns_count() {
        let columns = [1, 3];
        let mut tally = Tally::new(&columns, &[Resize::TF2_AREA], 1).unwrap();
        let rows = vec![vec![9.0, 1.0, 9.0, 2.0], vec![9.0, 2.0, 9.0, 1.0]];
        tally.add(&sample("a"), 1, &Ok(rows)).unwrap();
        let labels = Labels::from_names(["a", "b", "c", "d"]).unwrap();
        let done = tally.finish(&labels, &columns);
        assert_eq!(
            (done.top_1(), done.by_resize[0].top_1, done.by_resize[0].top_5),
            (1.0, 0.0, 1.0)
        );
        assert_eq!(done.labels, ["b", "d"]);
    }

    #[test]
    fn many_rows_are_thinned_evenly() {
        let mut kept = Kept::new(1 << 20);
        for number in 0..40 {
            kept.add(&vec![number as f32; 1 << 20], 0);
        }
        let first: Vec<f32> = kept.logits.chunks_exact(1 << 20).map(|row| row[0]).collect();
        assert_eq!(first, [0.0, 8.0, 16.0, 24.0, 32.0]);
        assert_eq!(kept.labels.len(), 5);
    }
}
