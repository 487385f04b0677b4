//! [`Labels`]: the names of classes, ImageNet's own and those of label files.
//!
//! The order is the order of a module's logits. Names come from files and end on terminals and
//! in web pages, so control characters never get through.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::{Error, Result};

const IMAGENET_1001: &str = include_str!("../data/imagenet_1001.txt");
const IMAGENET_SYNSETS: &str = include_str!("../data/imagenet_synsets.txt");

/// More lines than any classifier has classes.
const MAX_LABELS: usize = 1 << 20;
/// More than any name takes, in bytes.
const MAX_LABEL_BYTES: usize = 4096;

/// The names of classes, in the order of the logits.
///
/// ```
/// use mobilenet_vision::Labels;
/// let labels = Labels::imagenet();
/// assert_eq!(labels.get(0), Some("background"));
/// assert_eq!(labels.get(1), Some("tench, Tinca tinca"));
///
/// let labels = Labels::parse(b"cat\r\ndog\r\n")?;
/// let error = labels.check_count(3).unwrap_err();
/// assert!(error.to_string().contains("2 labels") && error.to_string().contains("3 classes"));
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels(Vec<Cow<'static, str>>);

impl Labels {
    /// ImageNet's 1001 names as TensorFlow's modules use them: 0 is `background`.
    pub fn imagenet() -> Self {
        Self(IMAGENET_1001.lines().map(Cow::Borrowed).collect())
    }

    /// ImageNet's 1000 names without `background`, for networks without that class.
    pub fn imagenet_without_background() -> Self {
        Self(IMAGENET_1001.lines().skip(1).map(Cow::Borrowed).collect())
    }

    /// Reads a label file: UTF-8, one name a line, LF or CRLF, empty lines at the end ignored.
    /// Control characters and the invisible characters that turn text around become U+FFFD.
    ///
    /// # Errors
    /// If the file is not UTF-8, has no names, an empty line between names, or is absurdly large.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(file).map_err(|error| {
            let at = error.valid_up_to();
            Error::labels(format!("the label file is not UTF-8 at byte {at}")).with_source(error)
        })?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).trim_end();
        if text.is_empty() {
            return Err(Error::labels("the label file holds no names"));
        }
        text.split('\n')
            .enumerate()
            .map(|(i, line)| label(i, line))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Takes names from elsewhere, cleaned as in [`Self::parse`].
    ///
    /// # Errors
    /// If there are none, one is empty, or there are absurdly many.
    pub fn from_names<I: IntoIterator<Item: AsRef<str>>>(names: I) -> Result<Self> {
        let names: Vec<_> = names
            .into_iter()
            .enumerate()
            .map(|(i, name)| label(i, name.as_ref()))
            .collect::<Result<_>>()?;
        if names.is_empty() {
            return Err(Error::labels("there are no label names"));
        }
        Ok(Self(names))
    }

    /// Checks that there is one name for each of `classes`.
    ///
    /// # Errors
    /// If not; the text states both counts.
    pub fn check_count(&self, classes: usize) -> Result<()> {
        if self.len() == classes {
            return Ok(());
        }
        let hint = match (self.len() + 1 == classes, self.len() == classes + 1) {
            (true, _) => "; the network has one class more (is a first line `background` missing?)",
            (_, true) => {
                "; the network has one class less (is a first line `background` too much?)"
            }
            _ => "",
        };
        let (labels, plural) = (self.len(), if self.len() == 1 { "" } else { "s" });
        Err(Error::labels(format!("{labels} label{plural} for {classes} classes{hint}")))
    }

    /// The name of class `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).map(AsRef::as_ref)
    }

    /// The first class of that name: the whole name, or one of its comma-separated synonyms,
    /// ignoring ASCII case.
    pub fn find(&self, name: &str) -> Option<usize> {
        let name = name.trim();
        let whole = self.iter().position(|label| label.eq_ignore_ascii_case(name));
        whole.or_else(|| {
            let same = |word: &str| word.trim().eq_ignore_ascii_case(name);
            self.iter().position(|label| label.split(',').any(same))
        })
    }

    /// How many classes have names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true: there is at least one name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// The WordNet id (`n01440764`) of class `index` of [`Labels::imagenet`]; `background` has none.
pub fn synset(index: usize) -> Option<&'static str> {
    SYNSETS.get(index.checked_sub(1)?).copied()
}

/// The class of [`Labels::imagenet`] that has the WordNet id `id`.
pub fn synset_index(id: &str) -> Option<usize> {
    // The ids ascend.
    SYNSETS.binary_search(&id).ok().map(|i| i + 1)
}

static SYNSETS: LazyLock<Vec<&str>> = LazyLock::new(|| IMAGENET_SYNSETS.lines().collect());

fn label(index: usize, line: &str) -> Result<Cow<'static, str>> {
    let number = index + 1;
    let name = line.trim();
    if index >= MAX_LABELS {
        return Err(Error::labels(format!("more than {MAX_LABELS} labels; is this a label file?")));
    }
    if name.is_empty() {
        return Err(Error::labels(format!("line {number} of the labels is empty")));
    }
    if name.len() > MAX_LABEL_BYTES {
        return Err(Error::labels(format!(
            "line {number} of the labels has {} bytes, more than {MAX_LABEL_BYTES}",
            name.len()
        )));
    }
    Ok(Cow::Owned(name.chars().map(|c| if harmful(c) { '\u{FFFD}' } else { c }).collect()))
}

/// Control characters, and the marks that reorder or hide text.
fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_has_1001_names_and_1000_ids() {
        let labels = Labels::imagenet();
        labels.check_count(1001).unwrap();
        Labels::imagenet_without_background().check_count(1000).unwrap();
        assert_eq!(labels.get(1000), Some("toilet tissue, toilet paper, bathroom tissue"));
        assert_eq!(SYNSETS.len(), 1000);
        assert!(SYNSETS.is_sorted());
        assert_eq!((synset(0), synset(1), synset(1001)), (None, Some("n01440764"), None));
        assert_eq!((synset_index("n01440764"), synset_index("n0")), (Some(1), None));
    }

    #[test]
    fn names_are_found_whole_or_by_synonym() {
        let labels = Labels::imagenet();
        assert_eq!(labels.find("Tench"), Some(1));
        assert_eq!(labels.find("tinca tinca"), Some(1));
        assert_eq!(labels.find("no such thing"), None);
    }

    #[test]
    fn label_files_of_all_sorts_are_read() {
        let names = |file: &[u8]| Labels::parse(file).unwrap().0;
        assert_eq!(names(b"a\nb"), ["a", "b"]);
        assert_eq!(names(b"\xEF\xBB\xBFa\r\nb\r\n\r\n"), ["a", "b"]);
        assert_eq!(names("  gr\u{fc}n  \n".as_bytes()), ["gr\u{fc}n"]);
    }

    #[test]
    fn terminal_escapes_and_reversed_text_do_not_get_through() {
        let labels = Labels::parse("\u{1b}[31mred\u{7}\nx\u{202e}y".as_bytes()).unwrap();
        assert_eq!(labels.get(0), Some("\u{fffd}[31mred\u{fffd}"));
        assert_eq!(labels.get(1), Some("x\u{fffd}y"));
    }

    #[test]
    fn bad_label_files_are_errors_that_say_where() {
        let text = |file: &[u8]| Labels::parse(file).unwrap_err().to_string();
        assert!(text(b"").contains("no names"));
        assert!(text(b"\n\n").contains("no names"));
        assert!(text(b"a\n\nb").contains("line 2"));
        assert!(text(b"a\xff").contains("byte 1"));
        assert!(text(&[b'a'; 5000]).contains("5000 bytes"));
        assert!(text(&b"a\n".repeat(MAX_LABELS + 1)).contains("more than"));
    }

    #[test]
    fn a_missing_background_is_named() {
        let error = Labels::imagenet_without_background().check_count(1001).unwrap_err();
        assert!(error.to_string().contains("background"));
    }
}
