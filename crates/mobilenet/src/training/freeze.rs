//! Variables that keep their values, by patterns of their names: `*` is any text, `/` included, and
//! `?` any one character.

use mobilenet_train::run::Network;

use crate::error::{Error, ErrorKind, Result};

/// Variables that an error names.
const NAMED: usize = 3;

/// Refuses a pattern that none of `names` matches.
pub(super) fn check(patterns: &[String], names: &[&str]) -> Result<()> {
    let unknown =
        |pattern: &&String| !names.iter().any(|name| matches(pattern.as_bytes(), name.as_bytes()));
    let Some(pattern) = patterns.iter().find(unknown) else { return Ok(()) };
    let some: Vec<&str> = names.iter().copied().take(NAMED).collect();
    let message = format!(
        "no variable matches {pattern:?}, so nothing can be frozen by it; there are {} and others",
        some.join(", ")
    );
    Err(Error::new(ErrorKind::Training, message))
}

/// Lets what matches keep its value; the moving averages of a layer of which nothing learns any
/// more stay, too.
pub(super) fn apply(patterns: &[String], network: &mut Network) -> Result<()> {
    if patterns.is_empty() {
        return Ok(());
    }
    let training = &mut network.training;
    let frozen =
        |name: &String| patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()));
    training.trainable.retain(|name| !frozen(name));
    if training.trainable.is_empty() {
        let message = "all that would learn is frozen: nothing is left to train";
        return Err(Error::new(ErrorKind::Training, message));
    }
    let learning: Vec<&str> = training.trainable.iter().filter_map(|name| layer(name)).collect();
    training.update_ops.retain(|name| layer(name).is_none_or(|layer| learning.contains(&layer)));
    Ok(())
}

/// The layer that a variable or an operation belongs to, by slim's names.
fn layer(name: &str) -> Option<&str> {
    name.split('/').find(|part| part.starts_with("Conv2d_"))
}

/// Whether `pattern` matches all of `text`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on after the last star, and from where in the text.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(read) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                at += 1;
                star = Some((at, read));
            }
            (Some(&wanted), _) if wanted == b'?' || wanted == byte => {
                at += 1;
                read += 1;
            }
            (_, Some((after, from))) => {
                at = after;
                read = from + 1;
                star = Some((after, read));
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let name = "MobilenetV1/Conv2d_1_pointwise/weights";
        for (pattern, fits) in [
            (name, true),
            ("*", true),
            ("**Conv2d_1_*", true),
            ("*/Conv2d_?_pointwise/*", true),
            ("*weights", true),
            ("*/weights*", true),
            ("*weight", false),
            ("Conv2d_1_*", false),
            ("*/Conv2d_1?_*", false),
            ("*weights?", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern}");
        }
        assert!(matches(b"", b"") && matches(b"*", b"") && !matches(b"?", b""));
    }

    #[test]
    fn a_pattern_without_a_variable_is_named_with_some_that_are() {
        let names = ["a/weights", "b/weights"];
        assert!(check(&["a/*".to_owned()], &names).is_ok());
        let error = check(&["*".to_owned(), "c/*".to_owned()], &names).unwrap_err().to_string();
        assert!(error.contains("\"c/*\"") && error.contains("a/weights"), "{error}");
    }
}
