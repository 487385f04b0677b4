//! What a training run came to: how good the module is, class by class, and how many photos were
//! skipped; as text, or as the last line of JSON.

use std::collections::BTreeSet;

use mobilenet::training::{Score, Trained};
use serde_json::{Value, json};

use super::{print_line, print_text};
use crate::failure::Failure;
use crate::terminal;

/// What a module's answers are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The photos' labels.
    Labels,
    /// What it answers in floats.
    Floats,
}

/// Tells of a finished run whose log heard of `skipped` photos.
pub(crate) fn trained(
    trained: &Trained,
    mut skipped: BTreeSet<String>,
    against: Against,
    jsonl: bool,
) -> Result<(), Failure> {
    // A run that was resumed told of some in an earlier sitting.
    skipped.extend(trained.outcome.progress.skipped.keys().cloned());
    let score = trained.test.as_ref();
    if jsonl {
        let mut line = score.map_or_else(|| json!({}), |score| object(trained, score, against));
        line["event"] = "result".into();
        line["images"] = score.map_or(0, |score| score.evaluation.count()).into();
        line["skipped"] = skipped.len().into();
        print_line(&line)?;
    } else if let Some(score) = score {
        print_text(&text(trained, score, against))?;
    }
    if !skipped.is_empty() {
        let count = skipped.len();
        terminal::note(format_args!("photos that could not be used and were skipped: {count}"));
    }
    Ok(())
}

fn object(trained: &Trained, score: &Score, against: Against) -> Value {
    let (top_1, top_5) = (score.evaluation.top_1(), score.evaluation.top_5());
    if against == Against::Floats {
        return json!({"agreement": top_1, "loss": score.loss});
    }
    let classes = score.evaluation.confusion().per_class();
    let by_class: serde_json::Map<_, _> = trained
        .labels
        .iter()
        .zip(&classes)
        .map(|(label, class)| (label.clone(), json!(class.recall)))
        .collect();
    json!({"top1": top_1, "top5": top_5, "loss": score.loss, "accuracy_by_class": by_class})
}

fn text(trained: &Trained, score: &Score, against: Against) -> String {
    let count = score.evaluation.count();
    let (top_1, top_5) = (100.0 * score.evaluation.top_1(), 100.0 * score.evaluation.top_5());
    if against == Against::Floats {
        return format!(
            "rounded, it answers {top_1:.2}% of {count} images it has not learned from as in floats\n"
        );
    }
    let mut text =
        format!("{count} images it has not learned from: top-1 {top_1:.2}%, top-5 {top_5:.2}%\n");
    for (label, class) in trained.labels.iter().zip(&score.evaluation.confusion().per_class()) {
        text += &format!(
            "{:6.1}% of {:4}  {}\n",
            100.0 * class.recall,
            class.support,
            terminal::printable(label)
        );
    }
    text
}
