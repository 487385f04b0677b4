//! Variables that keep their values, by patterns of their names: `*` is any text, `/` included, and
//! `?` any one character.

use glob::Pattern;
use mobilenet_train::run::Network;

use crate::error::{Error, ErrorKind, Result};

/// Variables that an error names.
const NAMED: usize = 3;

/// Refuses what is no pattern, and a pattern that none of `names` matches.
pub(super) fn check(patterns: &[String], names: &[&str]) -> Result<()> {
    let patterns = parse(patterns)?;
    let unknown = |pattern: &&Pattern| !names.iter().any(|name| pattern.matches(name));
    let Some(pattern) = patterns.iter().find(unknown) else { return Ok(()) };
    let some: Vec<&str> = names.iter().copied().take(NAMED).collect();
    let message = format!(
        "no variable matches {:?}, so nothing can be frozen by it; there are {} and others",
        pattern.as_str(),
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
    let patterns = parse(patterns)?;
    let training = &mut network.training;
    let frozen = |name: &String| patterns.iter().any(|pattern| pattern.matches(name));
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

fn parse(patterns: &[String]) -> Result<Vec<Pattern>> {
    let parse = |pattern: &String| {
        Pattern::new(pattern).map_err(|error| {
            let message = format!("{pattern:?} is no pattern of names: {error}");
            Error::new(ErrorKind::Training, message)
        })
    };
    patterns.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crate's meaning of `*` is a path's as soon as an option changes.
    #[test]
    fn stars_reach_over_slashes() {
        let name = "MobilenetV1/Conv2d_1_pointwise/weights";
        for (pattern, fits) in [
            ("*", true),
            ("*/Conv2d_?_pointwise/*", true),
            ("*weights", true),
            ("Conv2d_1_*", false),
            ("*weight", false),
        ] {
            let patterns = parse(&[pattern.to_owned()]).unwrap();
            assert_eq!(patterns[0].matches(name), fits, "{pattern}");
        }
        assert!(parse(&["[".to_owned()]).unwrap_err().to_string().contains("\"[\""));
    }

    #[test]
    fn a_pattern_without_a_variable_is_named_with_some_that_are() {
        let names = ["a/weights", "b/weights"];
        assert!(check(&["a/*".to_owned()], &names).is_ok());
        let error = check(&["*".to_owned(), "c/*".to_owned()], &names).unwrap_err().to_string();
        assert!(error.contains("\"c/*\"") && error.contains("a/weights"), "{error}");
    }
}
