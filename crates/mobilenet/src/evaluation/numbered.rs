//! Photos in shards, read as training reads them: their classes are numbers, some with a name.
//!
//! A number is the module's own where that contradicts no name; if it does, all are one less or
//! one more, for class 0 may be "background", which no photo shows. Numbers that still contradict
//! names say nothing, and the names alone decide.

use std::collections::BTreeSet;
use std::path::Path;

use mobilenet_train::dataset::Dataset;

use super::classes::Finder;
use super::data::LabelledImages;
use crate::error::{Error, ErrorKind, Result};

/// A class of data in shards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbered {
    number: usize,
    words: Option<String>,
}

/// The photos of the shards at `path`, and the classes that have any.
pub(super) fn open(path: &Path) -> Result<LabelledImages> {
    let Dataset { classes, words, train, validation, test, .. } =
        Dataset::open_held_out(path).map_err(|e| Error::because(ErrorKind::Input, "", e))?;
    let held_out = [("test", &test), ("validation", &validation)];
    let split = held_out.iter().find(|(_, samples)| !samples.is_empty());
    let split = split.map(|(name, _)| (*name).to_owned());
    let mut images: Vec<_> = test.into_iter().chain(validation).chain(train).collect();
    let numbers: BTreeSet<usize> = images.iter().map(|image| image.label).collect();
    let numbers = Vec::from_iter(numbers);
    for image in &mut images {
        image.label = numbers.binary_search(&image.label).unwrap_or_default();
    }
    let name = |&number: &usize| classes.get(number).cloned().unwrap_or_default();
    let numbered = |&number: &usize| Numbered { number, words: words.get(&number).cloned() };
    Ok(LabelledImages {
        classes: numbers.iter().map(name).collect(),
        numbered: numbers.iter().map(numbered).collect(),
        images,
        split,
        ..LabelledImages::default()
    })
}

/// The module's class of each, if the numbers say it.
pub(super) fn by_number(classes: &[Numbered], finder: &Finder<'_>) -> Option<Vec<usize>> {
    [0, 1, -1].into_iter().find_map(|more| {
        classes.iter().map(|class| class.by_number(more, finder)).collect::<Option<Vec<_>>>()
    })
}

impl Numbered {
    /// The module's class `more` than the number, if a photo can show it and its name agrees.
    fn by_number(&self, more: isize, finder: &Finder<'_>) -> Option<usize> {
        let class = self.number.checked_add_signed(more)?;
        let shown = finder.label(class)? != "background" || class > 0;
        let agrees = |words: &String| finder.may_mean(words, class);
        (shown && self.words.as_ref().is_none_or(agrees)).then_some(class)
    }

    /// Every class that the name may mean.
    pub(super) fn by_words(&self, finder: &Finder<'_>) -> Vec<usize> {
        self.words.as_ref().map(|words| finder.by_words(words)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use mobilenet_vision::Labels;

    use super::super::classes::match_classes;
    use super::*;

    fn data(classes: &[(usize, &str)]) -> LabelledImages {
        let numbered = |&(number, words): &(usize, &str)| Numbered {
            number,
            words: (!words.is_empty()).then(|| words.to_owned()),
        };
        LabelledImages {
            classes: classes.iter().map(|(number, words)| format!("{words}{number}")).collect(),
            numbered: classes.iter().map(numbered).collect(),
            ..LabelledImages::default()
        }
    }

    fn found(classes: &[(usize, &str)], labels: &Labels) -> Vec<usize> {
        match_classes(&data(classes), labels).unwrap()
    }

    #[test]
    fn numbers_are_the_modules_own_or_next_to_it() {
        let labels = Labels::from_names(["background", "a", "b", "c"]).unwrap();
        assert_eq!(found(&[(1, ""), (3, "")], &labels), [1, 3]);
        assert_eq!(found(&[(0, ""), (2, "")], &labels), [1, 3], "no photo shows the background");
        assert_eq!(found(&[(0, ""), (1, "b")], &labels), [1, 2]);
        let labels = Labels::from_names(["a", "b", "c"]).unwrap();
        assert_eq!(found(&[(0, ""), (2, "")], &labels), [0, 2]);
        assert_eq!(found(&[(1, ""), (3, "")], &labels), [0, 2], "their class 0 is the background");
    }

    #[test]
    fn numbers_tell_classes_of_one_name_apart() {
        let imagenet = Labels::imagenet();
        let cranes = [(135, "crane"), (518, "crane")];
        assert_eq!(found(&cranes, &imagenet), [135, 518]);
        assert_eq!(found(&cranes[1..], &imagenet), [518]);
        let less = cranes.map(|(number, words)| (number - 1, words));
        assert_eq!(found(&less, &imagenet), [135, 518]);
        assert_eq!(found(&cranes, &Labels::imagenet_without_background()), [134, 517]);
        let trained = Labels::from_names(["background", "crane", "2", "crane (3)"]).unwrap();
        assert_eq!(found(&[(1, "crane"), (2, ""), (3, "crane")], &trained), [1, 2, 3]);
        assert_eq!(found(&[(3, "crane")], &trained), [3]);
    }

    #[test]
    fn names_decide_where_numbers_contradict_them() {
        let labels = Labels::from_names(["a", "b", "crane", "crane"]).unwrap();
        assert_eq!(found(&[(3, "b"), (7, "a")], &labels), [1, 0]);
        let said = |classes: &[(usize, &str)], labels: &Labels| {
            match_classes(&data(classes), labels).unwrap_err().to_string()
        };
        let text = said(&[(0, "b"), (7, "crane")], &labels);
        assert!(text.contains("could be the module's class 2 or 3"), "{text}");
        let text = said(&[(9, "b"), (1, "")], &labels);
        assert!(text.contains("no class for 1 of the data's 2: \"1\""), "{text}");
        let one = Labels::from_names(["crane", "b"]).unwrap();
        let text = said(&[(5, "crane"), (7, "crane")], &one);
        assert!(text.contains("\"crane5\" and \"crane7\" are both"), "{text}");
    }
}
