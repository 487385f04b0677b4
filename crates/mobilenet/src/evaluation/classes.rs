//! Which class of a module each class of the data is: by its label, a synonym, its WordNet id or
//! its number; of data in shards, `numbered.rs` reads the numbers.

use std::collections::BTreeMap;

use mobilenet_vision::{Labels, synset_index};

use super::data::LabelledImages;
use super::numbered::by_number;
use crate::error::{Error, ErrorKind, Result};

/// Unknown classes that an error names.
const NAMED: usize = 5;

/// The module's class for each class of `data`.
///
/// # Errors
/// [`ErrorKind::Labels`] for classes that the module does not have, that could be several, or that
/// are numbers and cannot be told apart by name.
pub(crate) fn match_classes(data: &LabelledImages, labels: &Labels) -> Result<Vec<usize>> {
    if data.classes.is_empty() {
        return Err(Error::new(ErrorKind::Labels, "the photos are of no known class"));
    }
    let finder = Finder::new(labels, &data.words);
    let numbered = !data.numbered.is_empty();
    if let Some(found) = by_number(&data.numbered, &finder).filter(|_| numbered) {
        return Ok(found);
    }
    let mut found = Vec::with_capacity(data.classes.len());
    let mut unknown = Vec::new();
    for (class, name) in data.classes.iter().enumerate() {
        let may_be = match data.numbered.get(class) {
            Some(class) => class.by_words(&finder),
            None => finder.find(name),
        };
        match may_be.as_slice() {
            [one] => found.push(*one),
            [] => unknown.push(name.as_str()),
            many => return Err(ambiguous(name, many, numbered)),
        }
    }
    if !unknown.is_empty() {
        return Err(strangers(&unknown, data, labels));
    }
    if numbered {
        apart(data, &found)?
    }
    Ok(found)
}

fn ambiguous(name: &str, many: &[usize], numbered: bool) -> Error {
    let which: Vec<_> = many.iter().map(usize::to_string).collect();
    let advice = match numbered {
        true => "its number is not the module's and does not say which",
        false => "name it by its WordNet id or number",
    };
    let which = which.join(" or ");
    let message =
        format!("the data's class {name:?} could be the module's class {which}; {advice}");
    Error::new(ErrorKind::Labels, message)
}

/// Fails where two classes of the data were found to be one of the module.
fn apart(data: &LabelledImages, found: &[usize]) -> Result<()> {
    let mut names = BTreeMap::new();
    for (name, class) in data.classes.iter().zip(found) {
        if let Some(other) = names.insert(class, name) {
            let message = format!(
                "the data's classes {other:?} and {name:?} are both the module's class {class} by \
                 name, and their numbers are not the module's"
            );
            return Err(Error::new(ErrorKind::Labels, message));
        }
    }
    Ok(())
}

fn strangers(unknown: &[&str], data: &LabelledImages, labels: &Labels) -> Error {
    let named: Vec<_> = unknown.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
    let more = if unknown.len() > NAMED { ", …" } else { "" };
    let examples: Vec<_> =
        labels.iter().skip(1).take(2).map(|label| format!("{label:?}")).collect();
    Error::new(
        ErrorKind::Labels,
        format!(
            "the module has no class for {} of the data's {}: {}{more}; its own {} are called {}, …",
            unknown.len(),
            data.classes.len(),
            named.join(", "),
            labels.len(),
            examples.join(", "),
        ),
    )
}

/// How ImageNet's classes are numbered here, if they are.
#[derive(Clone, Copy, PartialEq)]
enum ImageNet {
    No,
    /// WordNet ids lead to places this much below those of TensorFlow's 1001 classes.
    Below(usize),
}

/// Finds classes by name; every name in lower case.
pub(super) struct Finder<'a> {
    labels: &'a Labels,
    words: &'a BTreeMap<String, String>,
    whole: BTreeMap<String, Vec<usize>>,
    synonyms: BTreeMap<String, Vec<usize>>,
    imagenet: ImageNet,
}

impl<'a> Finder<'a> {
    fn new(labels: &'a Labels, words: &'a BTreeMap<String, String>) -> Self {
        let mut whole = BTreeMap::<String, Vec<usize>>::new();
        let mut synonyms = BTreeMap::<String, Vec<usize>>::new();
        for (index, label) in labels.iter().enumerate() {
            whole.entry(plain(label)).or_default().push(index);
            for word in label.split(',') {
                let known = synonyms.entry(plain(word)).or_default();
                if known.last() != Some(&index) {
                    known.push(index);
                }
            }
        }
        let imagenet = match labels {
            labels if *labels == Labels::imagenet() => ImageNet::Below(0),
            labels if *labels == Labels::imagenet_without_background() => ImageNet::Below(1),
            _ => ImageNet::No,
        };
        Finder { labels, words, whole, synonyms, imagenet }
    }

    /// Every class that `name` may mean; the surest way to read it decides.
    fn find(&self, name: &str) -> Vec<usize> {
        let named = self.named(name);
        if !named.is_empty() {
            return named;
        }
        if wordnet_id(name) == Some(name) {
            return self.by_wordnet_id(name);
        }
        name.parse().ok().filter(|&index: &usize| index < self.labels.len()).into_iter().collect()
    }

    pub(super) fn label(&self, class: usize) -> Option<&str> {
        self.labels.get(class)
    }

    /// Every class that the words of a record may mean: a WordNet id, or synonyms.
    pub(super) fn by_words(&self, words: &str) -> Vec<usize> {
        match wordnet_id(words) == Some(words) {
            true => self.by_wordnet_id(words),
            false => self.named_or_first(words),
        }
    }

    /// Whether the words of a record may mean `class`; training adds the number to a name that
    /// another class has too.
    pub(super) fn may_mean(&self, words: &str, class: usize) -> bool {
        self.by_words(words).contains(&class)
            || self.label(class).is_some_and(|label| label == format!("{words} ({class})"))
    }

    fn named(&self, name: &str) -> Vec<usize> {
        let name = plain(name);
        self.whole.get(&name).or_else(|| self.synonyms.get(&name)).cloned().unwrap_or_default()
    }

    fn by_wordnet_id(&self, id: &str) -> Vec<usize> {
        let index = synset_index(id);
        if let (ImageNet::Below(less), Some(index)) = (self.imagenet, index) {
            return index.checked_sub(less).into_iter().collect();
        }
        let own = self.words.get(id).map(|name| self.named_or_first(name)).unwrap_or_default();
        if !own.is_empty() {
            return own;
        }
        let imagenet = index.and_then(|index| Labels::imagenet().get(index).map(str::to_owned));
        imagenet.map(|name| self.named_or_first(&name)).unwrap_or_default()
    }

    /// By the whole name, or by its first synonym that is a label here.
    fn named_or_first(&self, name: &str) -> Vec<usize> {
        let names = std::iter::once(name).chain(name.split(','));
        names.map(|name| self.named(name)).find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// Lower case, `_` as a space, one space between words.
fn plain(name: &str) -> String {
    let name = name.replace('_', " ").to_lowercase();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The WordNet id of a noun that `name` is, or starts with before a `_` or `.`: `n01440764`.
pub(super) fn wordnet_id(name: &str) -> Option<&str> {
    let id = name.get(..9)?;
    let digits = id.strip_prefix('n')?;
    let ends = name.get(9..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '.']));
    (ends && digits.bytes().all(|b| b.is_ascii_digit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(classes: &[&str]) -> LabelledImages {
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        LabelledImages { classes, ..LabelledImages::default() }
    }

    #[test]
    fn ids_names_synonyms_and_numbers_lead_to_imagenets_classes() {
        let names = ["n01440764", "great_white_shark", "Tinca tinca", "7"];
        let found = match_classes(&data(&names), &Labels::imagenet()).unwrap();
        assert_eq!(found, [1, 3, 1, 7]);
        let less = match_classes(&data(&names[..1]), &Labels::imagenet_without_background());
        assert_eq!(less.unwrap(), [0]);
    }

    #[test]
    fn ids_lead_to_a_modules_own_names() {
        let labels = Labels::from_names(["goldfish", "bullfrog", "n01443537"]).unwrap();
        assert_eq!(match_classes(&data(&["n01443537"]), &labels).unwrap(), [2]);
        let labels = Labels::from_names(["goldfish", "tench, Tinca tinca"]).unwrap();
        assert_eq!(match_classes(&data(&["n01440764", "n01443537"]), &labels).unwrap(), [1, 0]);
        let labels = Labels::from_names(["x", "my fish"]).unwrap();
        let mut named = data(&["n01443537"]);
        named.words.insert("n01443537".into(), "my fish, other".into());
        assert_eq!(match_classes(&named, &labels).unwrap(), [1]);
    }

    #[test]
    fn strangers_and_ambiguous_names_are_errors() {
        let error = match_classes(&data(&["coat", "7up"]), &Labels::imagenet()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no class for 2 of the data's 2: \"coat\", \"7up\""), "{text}");
        let error = match_classes(&data(&["crane"]), &Labels::imagenet()).unwrap_err();
        assert!(error.to_string().contains("135 or 518"), "{error}");
    }

    #[test]
    fn a_wordnet_id_is_an_n_and_eight_digits() {
        assert_eq!(wordnet_id("n01440764_tench.JPEG"), Some("n01440764"));
        assert_eq!(wordnet_id("n01440764"), Some("n01440764"));
        for not in ["n0144076", "n014407645", "x01440764", "n0144076é_", ""] {
            assert_eq!(wordnet_id(not), None);
        }
    }
}
