//! Which labels of an image are worth reporting: how many, how likely, and from which classes.

use mobilenet_vision::{Labels, softmax, top_k};

use crate::error::{Error, ErrorKind, Result};
use crate::signature::Scores;

/// A label for an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class: the place of its logit.
    pub index: usize,
    /// The name of the class.
    pub label: String,
    /// Softmax over **all** classes, in [0, 1]; filters do not change it.
    pub probability: f32,
    /// The network's own output; `None` where the file gives probabilities only.
    pub logit: Option<f32>,
}

/// Which labels to report.
///
/// ```
/// use mobilenet::{Choice, Labels};
///
/// let labels = Labels::from_names(["background", "tabby, tabby cat", "tiger cat"])?;
/// let choice = Choice::top(5).threshold(0.1).deny(&labels, &["background"])?;
/// let best = choice.pick(&labels, &[9.0, 2.0, 1.0]);
/// assert!(best.is_empty(), "the rest is below the threshold");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    top: usize,
    threshold: f32,
    allowed: Option<Vec<bool>>,
    denied: Option<Vec<bool>>,
}

impl Choice {
    /// The `top` likeliest labels.
    pub fn top(top: usize) -> Self {
        Choice { top, threshold: 0.0, allowed: None, denied: None }
    }

    /// Only labels of at least this probability, in [0, 1].
    #[must_use]
    pub fn threshold(mut self, probability: f32) -> Self {
        self.threshold = probability;
        self
    }

    /// Only these classes: an index, a name, or one of its comma-separated synonyms, in any case.
    /// No names: all classes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that no class has; similar names are listed.
    pub fn allow<S: AsRef<str>>(mut self, labels: &Labels, names: &[S]) -> Result<Self> {
        self.allowed = mask(labels, names)?;
        Ok(self)
    }

    /// None of these classes, named as in [`Self::allow`].
    ///
    /// # Errors
    /// As [`Self::allow`].
    pub fn deny<S: AsRef<str>>(mut self, labels: &Labels, names: &[S]) -> Result<Self> {
        self.denied = mask(labels, names)?;
        Ok(self)
    }

    /// The chosen labels of one image, likeliest first. `logits`: one for each of `labels`.
    pub fn pick(&self, labels: &Labels, logits: &[f32]) -> Vec<Prediction> {
        self.pick_scores(labels, logits, Scores::Logits)
    }

    /// As [`Self::pick`], for scores that may be probabilities already; `logit` is `None` then.
    pub fn pick_scores(&self, labels: &Labels, given: &[f32], scores: Scores) -> Vec<Prediction> {
        let probabilities = match scores {
            Scores::Logits => softmax(given),
            Scores::Probabilities => given.to_vec(),
        };
        let prediction = |index: usize| Prediction {
            index,
            label: labels.get(index).unwrap_or_default().to_owned(),
            probability: probabilities.get(index).copied().unwrap_or(f32::NAN),
            logit: given.get(index).copied().filter(|_| scores == Scores::Logits),
        };
        let ranked = match (&self.allowed, &self.denied) {
            (None, None) => top_k(given, self.top),
            _ => top_k(given, given.len()),
        };
        ranked
            .into_iter()
            .filter(|scored| self.admits(scored.index))
            .map(|scored| prediction(scored.index))
            .filter(|p| p.probability >= self.threshold || p.probability.is_nan())
            .take(self.top)
            .collect()
    }

    fn admits(&self, index: usize) -> bool {
        let is_in = |mask: &Vec<bool>| mask.get(index).copied().unwrap_or(false);
        self.allowed.as_ref().is_none_or(is_in) && !self.denied.as_ref().is_some_and(is_in)
    }
}

/// Which classes `names` mean; `None` for no names.
fn mask<S: AsRef<str>>(labels: &Labels, names: &[S]) -> Result<Option<Vec<bool>>> {
    if names.is_empty() {
        return Ok(None);
    }
    let mut mask = vec![false; labels.len()];
    for name in names {
        for index in classes(labels, name.as_ref())? {
            if let Some(class) = mask.get_mut(index) {
                *class = true;
            }
        }
    }
    Ok(Some(mask))
}

/// Every class that `name` means: ImageNet has two cranes and two maillots.
fn classes(labels: &Labels, name: &str) -> Result<Vec<usize>> {
    let name = name.trim();
    if let Some(index) = name.parse().ok().filter(|&index: &usize| index < labels.len()) {
        return Ok(vec![index]);
    }
    let same = |word: &str| word.trim().eq_ignore_ascii_case(name);
    let whole = matching(labels, same);
    let found =
        if whole.is_empty() { matching(labels, |label| label.split(',').any(same)) } else { whole };
    if found.is_empty() { Err(unknown(labels, name)) } else { Ok(found) }
}

fn matching(labels: &Labels, is: impl Fn(&str) -> bool) -> Vec<usize> {
    labels.iter().enumerate().filter(|(_, label)| is(label)).map(|(index, _)| index).collect()
}

fn unknown(labels: &Labels, name: &str) -> Error {
    let part = name.to_ascii_lowercase();
    let mut similar = matching(labels, |label| label.to_ascii_lowercase().contains(&part));
    // Whole words first: a tiger cat is more of a cat than a bullfrog, Rana catesbeiana.
    similar.sort_by_key(|&index| !has_word(labels.get(index).unwrap_or_default(), &part));
    let list: Vec<_> =
        similar.iter().take(3).filter_map(|&i| Some(format!("{:?}", labels.get(i)?))).collect();
    let hint = match list.len() {
        0 => format!("; there are {} labels, numbered from 0", labels.len()),
        _ => format!("; similar: {}", list.join(", ")),
    };
    Error::new(ErrorKind::NotFound, format!("no label is called {name:?}{hint}"))
}

fn has_word(label: &str, word: &str) -> bool {
    label.split(|c: char| !c.is_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(choice: &Choice, logits: &[f32]) -> Vec<usize> {
        choice.pick(&labels(), logits).iter().map(|p| p.index).collect()
    }

    fn labels() -> Labels {
        Labels::from_names(["background", "crane", "tabby, tabby cat", "crane"]).unwrap()
    }

    #[test]
    fn filters_choose_but_leave_probabilities() {
        let logits = [3.0, 1.0, 2.0, 0.0];
        assert_eq!(indices(&Choice::top(2), &logits), [0, 2]);
        let cranes = Choice::top(5).allow(&labels(), &["CRANE"]).unwrap();
        assert_eq!(indices(&cranes, &logits), [1, 3]);
        let rest = Choice::top(5).deny(&labels(), &["0", "Tabby cat"]).unwrap();
        assert_eq!(indices(&rest, &logits), [1, 3]);
        let all = Choice::top(1).pick(&labels(), &logits);
        let best = cranes.pick(&labels(), &logits);
        assert!(all[0].probability + best[0].probability < 1.0);
        assert_eq!(best[0].logit, Some(1.0));
    }

    #[test]
    fn thresholds_cut_and_top_zero_gives_none() {
        let logits = [3.0, 1.0, 2.0, 0.0];
        assert_eq!(indices(&Choice::top(5).threshold(0.2), &logits), [0, 2]);
        assert!(indices(&Choice::top(0), &logits).is_empty());
    }

    #[test]
    fn an_unknown_label_lists_similar_ones() {
        let text = Choice::top(1).allow(&labels(), &["tab"]).unwrap_err().to_string();
        assert_eq!(text, "no label is called \"tab\"; similar: \"tabby, tabby cat\"");
        let cats = Labels::from_names(["caterpillar", "tiger cat"]).unwrap();
        let text = Choice::top(1).allow(&cats, &["cat"]).unwrap_err().to_string();
        assert!(text.ends_with("similar: \"tiger cat\", \"caterpillar\""), "{text}");
        let text = Choice::top(1).allow(&labels(), &["9"]).unwrap_err().to_string();
        assert!(text.contains("4 labels, numbered from 0"), "{text}");
    }
}
