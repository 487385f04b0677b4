//! The curves of a training, from its log: what `mobilenet train --jsonl` prints, one JSON object
//! a line. Without one, its epochs are read from the checkpoint that the run left in the module's
//! folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mobilenet::Module;
use mobilenet::report::chart::{self, Series};
use mobilenet::training::{CHECKPOINTS, Checkpoint, Epoch};
use serde_json::Value;

use crate::failure::Failure;
use crate::output::epoch_line;

/// Names a log may have, in the module's folder or the one around it.
const NAMES: [&str; 3] = ["log.jsonl", "training.jsonl", "metrics.jsonl"];

/// What the numbers of an epoch are called in the charts.
const EPOCH: [(&str, &str); 5] = [
    ("train_loss", "training loss"),
    ("validation_loss", "validation loss"),
    ("train_top_1", "training accuracy"),
    ("top_1", "validation accuracy"),
    ("top_5", "validation accuracy, top-5"),
];

/// A log larger than this is left out.
const MAX_BYTES: u64 = 64 << 20;

/// Most points of a line; of longer ones, means of neighbours are drawn.
const POINTS: usize = 250;

/// The text of the log: of `path`, of one that lies beside the module, or what the checkpoint of its
/// run would have logged of epochs.
///
/// # Errors
/// If `path` cannot be read; that there is no other log is no error.
pub(crate) fn log(path: Option<&Path>, module: &Module) -> Result<Option<String>, Failure> {
    match path {
        Some(path) => {
            let failed = |e| Failure::io(format!("cannot read the log {}", path.display()), &e);
            std::fs::read_to_string(path).map(Some).map_err(failed)
        }
        None => {
            Ok(module.files().path().and_then(|folder| beside(folder).or_else(|| kept(folder))))
        }
    }
}

/// Charts of the losses and accuracies in a log; empty without one.
pub(super) fn charts(log: Option<&str>) -> String {
    let lines = series(log.unwrap_or_default());
    let chart = |word: &str| {
        let chosen = lines.iter().filter(|line| line.name.contains(word)).cloned();
        let named = |line: Series| Series { name: line.name.replace('_', " "), ..line };
        let chosen: Vec<Series> = chosen.map(named).collect();
        if chosen.is_empty() { String::new() } else { chart::lines("epoch", word, &chosen) }
    };
    [chart("loss"), chart("accuracy")].concat()
}

fn beside(folder: &Path) -> Option<String> {
    let folders = [Some(folder), folder.parent()];
    let paths = folders.into_iter().flatten().flat_map(|f| NAMES.map(|name| f.join(name)));
    let usable = |path: &PathBuf| {
        path.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES)
    };
    paths.filter(usable).find_map(|path| std::fs::read_to_string(path).ok())
}

/// The log of the epochs of the run that made the module in `folder`.
fn kept(folder: &Path) -> Option<String> {
    let checkpoint = Checkpoint::load(&folder.join(CHECKPOINTS)).ok()?;
    epochs(&checkpoint.progress.history)
}

fn epochs(history: &[Epoch]) -> Option<String> {
    let lines = history.iter().map(|epoch| Some(format!("{}\n", epoch_line(epoch).ok()?)));
    lines.collect::<Option<String>>().filter(|text| !text.is_empty())
}

/// The numbers of every line that has an epoch or a step, by name; those of whole epochs apart
/// from those of steps. Lines that are no objects are passed over: the last one may be torn.
fn series(text: &str) -> Vec<Series> {
    let mut all = BTreeMap::<String, Vec<(f64, f64)>>::new();
    for line in text.lines() {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else { continue };
        let number = |name: &str| object.get(name).and_then(Value::as_f64);
        let Some(x) = number("epoch").or_else(|| number("step")) else { continue };
        let whole = object.get("event").is_some_and(|event| event == "epoch");
        for (name, value) in &object {
            let Some(value) = value.as_f64() else { continue };
            let known = EPOCH.iter().find(|(known, _)| whole && known == name);
            let name = match known {
                Some((_, name)) => (*name).to_owned(),
                None if whole && !name.contains('_') => format!("mean_{name}"),
                None => name.clone(),
            };
            all.entry(name).or_default().push((x, value));
        }
    }
    all.into_iter().map(|(name, points)| Series { name, points: thin(&points) }).collect()
}

fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |some: &[(f64, f64)]| {
        let (x, y) = some.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        (x / some.len() as f64, y / some.len() as f64)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_become_lines_and_torn_ones_are_survived() {
        let text = "{\"event\":\"step\",\"step\":1,\"epoch\":0.5,\"loss\":2.5,\"note\":\"x\"}\n\
                    {\"event\":\"step\",\"step\":2,\"epoch\":1,\"loss\":2.0}\n\
                    {\"event\":\"epoch\",\"epoch\":1,\"accuracy\":0.5}\n{\"st";
        let lines = series(text);
        let find = |name: &str| lines.iter().find(|line| line.name == name).unwrap();
        assert_eq!(find("loss").points, [(0.5, 2.5), (1.0, 2.0)]);
        assert_eq!(find("mean_accuracy").points, [(1.0, 0.5)]);
        assert!(charts(Some(text)).contains("mean accuracy"));
        assert_eq!(charts(None), "");
        let long: String = (0..5000).map(|i| format!("{{\"step\":{i},\"loss\":1}}\n")).collect();
        assert_eq!(series(&long)[0].points.len(), POINTS);
    }

    #[test]
    fn epochs_become_lines_of_losses_and_accuracies() {
        let epoch = |number: u32, top: f64| Epoch {
            epoch: number.into(),
            step: 10,
            learning_rate: 0.1,
            train_loss: 2.5,
            train_top_1: 0.25,
            validation_loss: Some(1.5),
            top_1: Some(top),
            top_5: Some(0.875),
            seconds: 9.0,
        };
        let text = epochs(&[epoch(1, 0.5), epoch(2, 0.75)]).unwrap();
        let lines = series(&text);
        let find = |name: &str| &lines.iter().find(|line| line.name == name).unwrap().points;
        assert_eq!(find("validation accuracy"), &[(1.0, 0.5), (2.0, 0.75)]);
        assert_eq!(find("training accuracy"), &[(1.0, 0.25), (2.0, 0.25)]);
        let charts = charts(Some(&text));
        for (_, name) in EPOCH {
            assert!(charts.contains(&format!(">{name}</text>")), "{name}: {charts}");
        }
        assert_eq!(charts.matches("<polyline").count(), EPOCH.len());
        // Without anything to validate with there is nothing to draw of it.
        let blind = Epoch { validation_loss: None, top_1: None, top_5: None, ..epoch(1, 0.0) };
        let charts = super::charts(epochs(&[blind]).as_deref());
        assert!(charts.contains("training loss") && !charts.contains("validation"), "{charts}");
        assert_eq!(epochs(&[]), None);
    }
}
