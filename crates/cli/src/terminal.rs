//! What a terminal needs: colours when wanted (`NO_COLOR`, `CLICOLOR`, pipes respected),
//! the width, and text from files and models made safe to print.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const HEADING: Style = AnsiColor::Green.on_default().bold();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Puts styles around text, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours for stdout, if it wants them.
    pub(crate) fn stdout() -> Paint {
        Paint { on: anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never }
    }

    /// Colours for stderr, if it wants them.
    pub(crate) fn stderr() -> Paint {
        Paint { on: anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never }
    }

    /// `text` in `style`; `text` alone where colours are off.
    pub(crate) fn paint(self, style: Style, text: impl Display) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

/// True if results go to a person and not to a file or a pipe.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// True if somebody may be watching stderr.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints `error: …` to stderr.
pub(crate) fn error(message: impl Display) {
    say(ERROR, "error", message);
}

/// Prints `warning: …` to stderr.
pub(crate) fn warning(message: impl Display) {
    say(WARNING, "warning", message);
}

/// Prints `hint: …` to stderr.
pub(crate) fn hint(message: impl Display) {
    say(NAME, "hint", message);
}

/// Prints a line about what happened to stderr.
pub(crate) fn note(message: impl Display) {
    // Nobody reads stderr: there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", printable_lines(&message.to_string()));
}

fn say(style: Style, word: &str, message: impl Display) {
    let word = Paint::stderr().paint(style, format_args!("{word}:"));
    note_raw(&format!("{word} {}", printable_lines(&message.to_string())));
}

fn note_raw(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// `text` without control characters: labels and paths come from strangers, and a terminal
/// obeys escape sequences. Each becomes `\u{…}`; bidirectional overrides too.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe)
}

fn printable_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && is_unsafe(c))
}

fn escape(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if bad(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `12,345,678`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.9 MB`: powers of a thousand, as disks are sold.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_legible() {
        let texts = [thousands(0), thousands(999), thousands(30_212_864)];
        assert_eq!(texts, ["0", "999", "30,212,864"]);
        assert_eq!([bytes(2), bytes(999_949), bytes(1_829_553)], ["2 B", "999.9 kB", "1.8 MB"]);
    }

    #[test]
    fn escape_sequences_are_disarmed() {
        assert_eq!(printable("tabby, cat"), "tabby, cat");
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("x\u{202e}gpj"), "x\\u{202e}gpj");
        assert_eq!(printable_lines("two\nlines\r"), "two\nlines\\u{d}");
    }

    #[test]
    fn paint_is_silent_when_off() {
        assert_eq!(Paint { on: false }.paint(ERROR, "x"), "x");
        assert!(Paint { on: true }.paint(ERROR, "x").starts_with('\u{1b}'));
    }
}
