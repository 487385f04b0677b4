//! Variables that keep their values, by patterns of their names: `*` is any text, `/` included, and
//! `?` any one character.

use glob::Pattern;
use mobilenet_train::run::Network;

use super::cut::{CLASSIFIER, block};
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

/// The first block of which something learns, of all that is `trainable`; [`CLASSIFIER`] where no
/// block does. Those before it are frozen as a whole.
pub(super) fn first_learning(patterns: &[String], trainable: &[String]) -> Result<usize> {
    let patterns = parse(patterns)?;
    let learns = |name: &&String| !patterns.iter().any(|pattern| pattern.matches(name));
    let blocks = trainable.iter().filter(learns).filter_map(|name| block(name));
    Ok(blocks.min().unwrap_or(CLASSIFIER))
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
    fn blocks_before_the_first_that_learns_are_frozen_as_a_whole() {
        let layers = ["Conv2d_0", "Conv2d_1_depthwise", "Conv2d_1_pointwise", "Conv2d_2_depthwise"];
        let names = layers.map(|layer| format!("MobilenetV1/{layer}/BatchNorm/gamma"));
        let names = [&names[..], &["MobilenetV1/Logits/Conv2d_1c_1x1/weights".to_owned()]].concat();
        for (patterns, first) in [
            ("", 0),
            ("*/Conv2d_1_*", 0),
            ("*/Conv2d_0/* */Conv2d_1_depthwise/*", 1),
            ("*/Conv2d_0/* */Conv2d_1_*", 2),
            ("*/Conv2d_?/* */Conv2d_?_*", CLASSIFIER),
            ("*", CLASSIFIER),
        ] {
            let patterns: Vec<String> = patterns.split_whitespace().map(str::to_owned).collect();
            assert_eq!(first_learning(&patterns, &names).unwrap(), first, "{patterns:?}");
        }
    }

    #[test]
    fn a_pattern_without_a_variable_is_named_with_some_that_are() {
        let names = ["a/weights", "b/weights"];
        assert!(check(&["a/*".to_owned()], &names).is_ok());
        let error = check(&["*".to_owned(), "c/*".to_owned()], &names).unwrap_err().to_string();
        assert!(error.contains("\"c/*\"") && error.contains("a/weights"), "{error}");
    }
}
