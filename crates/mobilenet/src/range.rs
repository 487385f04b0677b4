//! Are these values in [0, 1]? The commonest mistake with a module is to feed it bytes (0 to 255)
//! or pixels that were centred already (-1 to 1): the answers look plausible and are wrong.

use crate::error::{Error, ErrorKind, Result};

/// How far cubic and Lanczos resizing may overshoot [0, 1] before values count as wrong.
const SLACK: f32 = 0.5;

/// Refuses values far outside [0, 1] and values that are no numbers.
///
/// `name` is the input they are for. Cost: one pass over the values.
pub(crate) fn check_unit(name: &str, values: &[f32]) -> Result<()> {
    let Range { low, high, finite } = Range::of(values);
    if !finite {
        return Err(wrong(name, "holds values that are NaN or infinite"));
    }
    if low >= -SLACK && high <= 1.0 + SLACK {
        return Ok(());
    }
    Err(wrong(
        name,
        format!("has values from {low} to {high}, expected 0 to 1; {}", cause(low, high)),
    ))
}

fn wrong(name: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Input, format!("input `{name}` {what}"))
}

fn cause(low: f32, high: f32) -> &'static str {
    if low >= -1.0 - SLACK && high <= 1.0 + SLACK {
        "values from -1 to 1? The module centres them itself: use x / 2 + 0.5"
    } else if low >= -SLACK && high <= 256.0 {
        "bytes from 0 to 255? Divide by 255, or give uint8"
    } else if low >= -256.0 && high <= 256.0 {
        "a mean was subtracted? The module does that itself: pass pixels / 255"
    } else {
        "pass pixels / 255"
    }
}

struct Range {
    low: f32,
    high: f32,
    finite: bool,
}

impl Range {
    /// In independent lanes, so that it runs at the speed of memory.
    fn of(values: &[f32]) -> Range {
        const LANES: usize = 16;
        let mut low = [f32::INFINITY; LANES];
        let mut high = [f32::NEG_INFINITY; LANES];
        // NaN and infinity are what stays non-zero when multiplied by zero.
        let mut taint = [0.0f32; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut last = [values.first().copied().unwrap_or(0.0); LANES];
        last.iter_mut().zip(rest).for_each(|(last, value)| *last = *value);
        for chunk in chunks.iter().chain([&last]) {
            for (((value, low), high), taint) in
                chunk.iter().zip(&mut low).zip(&mut high).zip(&mut taint)
            {
                *low = if *value < *low { *value } else { *low };
                *high = if *value > *high { *value } else { *high };
                *taint += *value * 0.0;
            }
        }
        Range {
            low: low.into_iter().fold(f32::INFINITY, f32::min),
            high: high.into_iter().fold(f32::NEG_INFINITY, f32::max),
            finite: taint.iter().all(|taint| *taint == 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[f32]) -> String {
        check_unit("images", values).unwrap_err().to_string()
    }

    #[test]
    fn pixels_in_range_pass_with_some_overshoot() {
        for values in [&[0.0, 1.0][..], &[], &[-0.1, 1.08], &[0.5; 1000]] {
            check_unit("images", values).unwrap();
        }
    }

    #[test]
    fn the_likely_cause_is_named() {
        assert!(text(&[0.0, 255.0]).contains("Divide by 255"));
        assert!(text(&[-1.0, 0.99]).contains("x / 2 + 0.5"));
        assert!(text(&[-123.0, 151.0]).contains("mean"));
        assert!(text(&[0.0, 1e9]).contains("pixels / 255"));
        assert!(text(&[0.0, 255.0]).starts_with("input `images` has values from 0 to 255"));
    }

    #[test]
    fn no_bad_value_hides_wherever_it_is() {
        for at in 0..50 {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 300.0, -7.0] {
                let mut values = vec![0.5; 50];
                values[at] = bad;
                assert!(check_unit("images", &values).is_err(), "{bad} at {at}");
            }
        }
    }
}
