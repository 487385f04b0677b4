//! The curves of a training, from the log beside the module, if there is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mobilenet::Module;
use mobilenet::report::chart::{self, Series};
use serde_json::Value;

/// Names a log may have, in the module's folder or the one around it: a JSON object a line.
const NAMES: [&str; 3] = ["log.jsonl", "training.jsonl", "metrics.jsonl"];

/// A log larger than this is left out.
const MAX_BYTES: u64 = 64 << 20;

/// Points of a line; longer ones are thinned.
const POINTS: usize = 1000;

/// Charts of the losses and accuracies in the log; empty without one.
pub(super) fn charts(module: &Module) -> String {
    let folder = module.files().path().map(Path::to_path_buf);
    let Some(text) = folder.as_deref().and_then(log) else { return String::new() };
    let lines = series(&text);
    let chart = |word: &str| {
        let chosen: Vec<Series> =
            lines.iter().filter(|line| line.name.contains(word)).cloned().collect();
        if chosen.is_empty() { String::new() } else { chart::lines("step", word, &chosen) }
    };
    [chart("loss"), chart("accuracy")].concat()
}

fn log(folder: &Path) -> Option<String> {
    let folders = [Some(folder), folder.parent()];
    let paths = folders.into_iter().flatten().flat_map(|f| NAMES.map(|name| f.join(name)));
    let usable = |path: &PathBuf| {
        path.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES)
    };
    paths.filter(usable).find_map(|path| std::fs::read_to_string(path).ok())
}

/// The numbers of every line that has a step, by name. Lines that are no objects are passed over:
/// the last one may be torn.
fn series(text: &str) -> Vec<Series> {
    let mut all = BTreeMap::<String, Vec<(f64, f64)>>::new();
    for line in text.lines() {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else { continue };
        let Some(step) = object.get("step").and_then(Value::as_f64) else { continue };
        for (name, value) in &object {
            if let Some(value) = value.as_f64().filter(|_| name != "step") {
                all.entry(name.clone()).or_default().push((step, value));
            }
        }
    }
    let thin = |points: Vec<(f64, f64)>| {
        let every = points.len().div_ceil(POINTS).max(1);
        points.into_iter().step_by(every).collect()
    };
    all.into_iter().map(|(name, points)| Series { name, points: thin(points) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_become_lines_and_torn_ones_are_survived() {
        let text = "{\"step\":1,\"loss\":2.5,\"note\":\"x\"}\n{\"step\":2,\"loss\":2.0,\"train_accuracy\":0.5}\n{\"st";
        let lines = series(text);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].points, [(1.0, 2.5), (2.0, 2.0)]);
        assert_eq!(lines[1].name, "train_accuracy");
        let long: String = (0..5000).map(|i| format!("{{\"step\":{i},\"loss\":1}}\n")).collect();
        assert_eq!(series(&long)[0].points.len(), POINTS);
    }
}
