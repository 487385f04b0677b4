//! An evaluation as text, JSON and a page of HTML.

pub(crate) mod curves;
pub(crate) mod html;
pub(crate) mod json;
mod pictures;
pub(crate) mod text;

use std::path::Path;

use mobilenet::Classifier;
use mobilenet::evaluation::{Evaluated, LabelledImages, Source};
use mobilenet::metrics::ClassReport;

/// What was evaluated on what, and what came out.
pub(crate) struct About<'a> {
    /// Where the photos are, as the user wrote it.
    pub(crate) data: &'a Path,
    pub(crate) images: &'a LabelledImages,
    pub(crate) classifier: &'a Classifier,
    pub(crate) evaluated: &'a Evaluated,
    /// Photos that were looked at, the unreadable ones too.
    pub(crate) done: usize,
    pub(crate) seconds: f64,
    /// The log of the training that made the module, if there is one.
    pub(crate) log: Option<&'a str>,
}

impl About<'_> {
    /// Photos that could be read.
    fn count(&self) -> u64 {
        self.evaluated.evaluation.count()
    }

    /// The classes that have photos, or were seen in one.
    fn classes(&self) -> Vec<ClassReport> {
        let all = self.evaluated.evaluation.confusion().per_class();
        all.into_iter().filter(|class| class.support > 0 || class.predicted > 0).collect()
    }

    /// The classes that have photos, least accurate first.
    fn worst(&self) -> Vec<ClassReport> {
        let mut classes = self.classes();
        classes.retain(|class| class.support > 0);
        let by = |a: &ClassReport, b: &ClassReport| {
            a.recall.total_cmp(&b.recall).then(b.support.cmp(&a.support))
        };
        classes.sort_by(by);
        classes
    }
}

/// What photos of each class were taken for.
struct Matrix {
    /// The classes with photos.
    names: Vec<String>,
    /// Whether some were taken for a class without photos.
    others: bool,
    /// A row for each class: a column for each, and with `others` one for those together.
    counts: Vec<Vec<usize>>,
}

impl About<'_> {
    /// `None` for less than two classes with photos.
    fn matrix(&self) -> Option<Matrix> {
        let matrix = self.evaluated.evaluation.confusion();
        let mut classes = self.classes();
        classes.retain(|class| class.support > 0);
        if classes.len() < 2 {
            return None;
        }
        let row = |class: &ClassReport| {
            let taken = classes.iter().map(|taken| matrix.get(class.index, taken.index) as usize);
            let mut row: Vec<usize> = taken.collect();
            let support = usize::try_from(class.support).unwrap_or(usize::MAX);
            row.push(support.saturating_sub(row.iter().sum()));
            row
        };
        let mut counts: Vec<Vec<usize>> = classes.iter().map(row).collect();
        let others = counts.iter().any(|row| row.last() > Some(&0));
        if !others {
            counts.iter_mut().for_each(|row| row.truncate(classes.len()));
        }
        let name = |class: &ClassReport| short(self.evaluated.label(class.index)).to_owned();
        Some(Matrix { names: classes.iter().map(name).collect(), others, counts })
    }

    /// A photo's path without what all have in common.
    fn inside(&self, source: &Source) -> String {
        let path = source.to_string();
        let data = self.data.to_string_lossy();
        let inner = path.strip_prefix(&*data).map(|rest| rest.trim_start_matches(['/', ':']));
        inner.filter(|rest| !rest.is_empty()).map_or(path.clone(), str::to_owned)
    }
}

/// The first of a class's synonyms.
fn short(label: &str) -> &str {
    label.split(',').next().unwrap_or(label).trim()
}
