//! Text for people: the path, then a line for each label with its probability and a small bar.
//! Errors are not printed here; they go to stderr.

use std::io::Write;

use mobilenet::Prediction;

use super::{Answer, Out, Writer};
use crate::failure::Failure;
use crate::terminal::{FAINT, GOOD, Paint, STRONG, printable};

/// Characters of a full bar.
const BAR: usize = 20;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Text for people.
pub(super) struct Text {
    paint: Paint,
    bars: bool,
    begun: bool,
}

impl Text {
    /// With bars if a person is looking.
    pub(super) fn new() -> Text {
        let bars = crate::terminal::stdout_is_terminal();
        Text { paint: Paint::stdout(), bars, begun: false }
    }

    fn line(&self, place: usize, label: &Prediction) -> String {
        let style = if place == 0 { STRONG } else { anstyle::Style::new() };
        let percent = format!("{:6.2}%", f64::from(label.probability) * 100.0);
        let name = self.paint.paint(style, printable(&label.label));
        if !self.bars {
            return format!("{percent}  {name}");
        }
        let bar = self.paint.paint(if place == 0 { GOOD } else { FAINT }, bar(label.probability));
        format!("{percent} {bar} {name}")
    }
}

/// A bar for a probability, always [`BAR`] columns wide.
fn bar(probability: f32) -> String {
    let eighths = (probability.clamp(0.0, 1.0) * (BAR * 8) as f32).round() as usize;
    let part = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    let bar = "█".repeat(eighths / 8) + part;
    format!("{bar:BAR$}")
}

impl Writer for Text {
    fn answer(&mut self, out: &mut Out, answer: &Answer<'_>) -> Result<(), Failure> {
        let Ok(labels) = answer.result else { return Ok(()) };
        if std::mem::replace(&mut self.begun, true) {
            writeln!(out)?;
        }
        writeln!(out, "{}", self.paint.paint(STRONG, printable(&answer.path.to_string_lossy())))?;
        if labels.is_empty() {
            writeln!(out, "  {}", self.paint.paint(FAINT, "no label fits"))?;
        }
        for (place, label) in labels.iter().enumerate() {
            writeln!(out, "  {}", self.line(place, label))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_always_as_wide() {
        for (probability, start) in [
            (0.0, " "),
            (0.001, " "),
            (0.01, "▎"),
            (0.5, "██████████ "),
            (1.0, "█"),
            (f32::NAN, " "),
        ] {
            let bar = bar(probability);
            assert_eq!(bar.chars().count(), BAR);
            assert!(bar.starts_with(start), "{probability}: {bar:?}");
        }
    }

    #[test]
    fn labels_cannot_send_escapes_to_the_terminal() {
        let label =
            Prediction { index: 0, label: "\u{1b}[2Jcat".into(), probability: 0.5, logit: None };
        let text = Text { paint: Paint::stdout(), bars: false, begun: false }.line(1, &label);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
