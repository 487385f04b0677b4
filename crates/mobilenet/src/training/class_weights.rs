//! How much an image of each class counts: for data in which some classes are rare.

use std::collections::BTreeMap;
use std::str::FromStr;

use mobilenet_train::dataset::Dataset;

use crate::error::{Error, ErrorKind, Result};

/// Heaviest weight that may be given.
const HEAVIEST: f32 = 1e6;

/// How much an image of each class counts in the loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// All the same.
    #[default]
    Even,
    /// In inverse proportion to the number of training images, so that every class counts the same
    /// in all: images / (classes × images of the class).
    Balanced,
    /// By name; classes without a weight have 1.
    Given(BTreeMap<String, f32>),
}

impl FromStr for ClassWeights {
    type Err = String;

    /// `even`, `balanced` or `hat=2,shoes=0.5`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let pair = |pair: &str| {
            let (name, weight) = pair.rsplit_once('=')?;
            let weight = weight.trim().parse().ok().filter(|w| (0.0..=HEAVIEST).contains(w))?;
            Some((name.trim().to_owned(), weight))
        };
        match text {
            "even" => Ok(Self::Even),
            "balanced" => Ok(Self::Balanced),
            pairs => pairs.split(',').map(pair).collect::<Option<_>>().map(Self::Given).ok_or_else(
                || {
                    "write even, balanced, or weights of classes, such as hat=2,shoes=0.5"
                        .to_owned()
                },
            ),
        }
    }
}

impl ClassWeights {
    /// The weight of each class of `dataset`, whose classes are called `labels`; empty where all are
    /// the same.
    pub(super) fn of(&self, dataset: &Dataset, labels: &[String]) -> Result<Vec<f32>> {
        match self {
            Self::Even => Ok(Vec::new()),
            Self::Balanced => {
                let counts = dataset.count_by_class(&dataset.train);
                let even = dataset.train.len() as f32 / counts.len().max(1) as f32;
                Ok(counts.iter().map(|&count| even / count.max(1) as f32).collect())
            }
            Self::Given(weights) => given(weights, &dataset.classes, labels),
        }
    }
}

/// Classes may be called by the data's name or by their label.
fn given(
    weights: &BTreeMap<String, f32>,
    classes: &[String],
    labels: &[String],
) -> Result<Vec<f32>> {
    let unknown = |name: &&String| !classes.contains(name) && !labels.contains(name);
    if let Some(name) = weights.keys().find(unknown) {
        let message = format!("a weight is given for {name:?}, but the data has no such class");
        return Err(Error::new(ErrorKind::Training, message));
    }
    let of = |(class, label)| weights.get(class).or_else(|| weights.get(label)).copied();
    Ok(classes.iter().zip(labels).map(|names| of(names).unwrap_or(1.0)).collect())
}

#[cfg(test)]
mod tests {
    use mobilenet_train::dataset::{Sample, Source};

    use super::*;

    fn dataset(counts: [usize; 3]) -> Dataset {
        let samples = (0..3).flat_map(|label| {
            let sample = Sample { source: Source::File("x".into()), label, origin: 0 };
            std::iter::repeat_n(sample, counts[label])
        });
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        Dataset { classes, train: samples.collect(), ..Dataset::default() }
    }

    fn of(text: &str, labels: [&str; 3]) -> Result<Vec<f32>> {
        text.parse::<ClassWeights>().unwrap().of(&dataset([1, 2, 3]), &labels.map(str::to_owned))
    }

    #[test]
    fn balanced_classes_count_the_same() {
        let weights = of("balanced", ["a", "b", "c"]).unwrap();
        assert_eq!(weights, [2.0, 1.0, 2.0 / 3.0]);
        assert!(of("even", ["a", "b", "c"]).unwrap().is_empty());
    }

    #[test]
    fn given_weights_are_found_by_either_name() {
        assert_eq!(of("the c=3, a=0.5", ["a", "b", "the c"]).unwrap(), [0.5, 1.0, 3.0]);
        let error = of("d=2", ["a", "b", "c"]).unwrap_err();
        assert!(error.to_string().contains("\"d\""), "{error}");
        for text in ["", "a", "a=", "a=-1", "a=nan", "a=1,b"] {
            assert!(text.parse::<ClassWeights>().is_err(), "{text}");
        }
    }
}
