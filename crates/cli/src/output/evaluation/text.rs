//! Text for people: the numbers, then what to look at.

use std::io::{self, Write};

use mobilenet::metrics::Bin;

use super::{About, Matrix, short};
use crate::terminal::{FAINT, GOOD, HEADING, Paint, STRONG, WARNING, printable, thousands};

/// Lines of each list.
const LINES: usize = 8;

/// Most classes whose confusion matrix is shown: its columns fit a terminal.
const MATRIX: usize = 12;

/// Writes it.
pub(crate) fn write(about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint::stdout();
    summary(about, out, paint)?;
    by_resize(about, out, paint)?;
    worst_classes(about, out, paint)?;
    matrix(about, out, paint)?;
    confused(about, out, paint)?;
    reliability(about, out, paint)?;
    mistakes(about, out, paint)
}

fn percent(share: f64) -> String {
    if share.is_nan() { "-".into() } else { format!("{:.2}%", share * 100.0) }
}

fn summary(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    let evaluated = about.evaluated;
    let data = about.data.to_string_lossy();
    writeln!(out, "{}", paint.paint(STRONG, printable(&data)))?;
    let per_second = about.done as f64 / about.seconds.max(1e-9);
    let classes = about.images.classes.len();
    let count = thousands(about.count());
    writeln!(out, "  photos  {count} in {classes} classes, {per_second:.0} a second")?;
    writeln!(out, "  pixels  {}", about.classifier.preprocessing())?;
    writeln!(out, "  top-1   {}", paint.paint(GOOD, percent(evaluated.top_1())))?;
    writeln!(out, "  top-5   {}", paint.paint(GOOD, percent(evaluated.top_5())))?;
    let error = evaluated.evaluation.reliability().expected_error();
    write!(out, "  ECE     {}", percent(error))?;
    if let Some(fitted) = &evaluated.temperature {
        let after = percent(fitted.reliability.expected_error());
        let text = format!("; {after} at temperature {:.3}", fitted.value);
        write!(out, "{}", paint.paint(FAINT, text))?;
    }
    writeln!(out)
}

fn heading(out: &mut dyn Write, paint: Paint, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}", paint.paint(HEADING, text))
}

fn by_resize(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    if about.evaluated.by_resize.is_empty() {
        return Ok(());
    }
    heading(out, paint, "Resize methods (top-1, top-5)")?;
    for by in &about.evaluated.by_resize {
        let (top_1, top_5) = (percent(by.top_1), percent(by.top_5));
        writeln!(out, "  {top_1:>7} {top_5:>7}  {}", by.resize)?;
    }
    Ok(())
}

fn worst_classes(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    let worst = about.worst();
    if worst.len() < 2 {
        return Ok(());
    }
    let all = worst.len() <= 2 * LINES;
    heading(out, paint, if all { "Accuracy by class" } else { "Least accurate classes" })?;
    for class in worst.iter().take(if all { worst.len() } else { LINES }) {
        let label = printable(about.evaluated.label(class.index));
        writeln!(out, "  {:>7}  {label} ({})", percent(class.recall), class.support)?;
    }
    Ok(())
}

/// Columns are numbered: the names stand at the ends of the rows.
fn matrix(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    let Some(Matrix { names, others, counts }) = about.matrix() else { return Ok(()) };
    if names.len() > MATRIX {
        return Ok(());
    }
    heading(out, paint, "Confusion (rows: what photos show; columns: what they were taken for)")?;
    let mut columns: Vec<String> = (1..=names.len()).map(|number| number.to_string()).collect();
    columns.extend(others.then(|| "other".to_owned()));
    let highest = counts.iter().flatten().max().copied().unwrap_or(0).to_string();
    let width = columns.iter().chain([&highest]).map(String::len).max().unwrap_or(0);
    let line = |cells: &mut dyn Iterator<Item = String>| -> String {
        cells.map(|cell| format!(" {cell:>width$}")).collect()
    };
    writeln!(out, " {}", paint.paint(FAINT, line(&mut columns.into_iter())))?;
    for (number, (name, row)) in names.iter().zip(&counts).enumerate() {
        let cell = |count: &usize| if *count == 0 { "·".into() } else { count.to_string() };
        let cells = line(&mut row.iter().map(cell));
        writeln!(out, " {cells}  {} {}", number + 1, printable(name))?;
    }
    Ok(())
}

/// How often it is right when it is so sure.
fn reliability(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    let bins = about.evaluated.evaluation.reliability().bins();
    let filled: Vec<&Bin> = bins.iter().filter(|bin| bin.count > 0).collect();
    if filled.is_empty() {
        return Ok(());
    }
    heading(out, paint, "Calibration (mean confidence, accuracy, photos)")?;
    for bin in filled {
        let (sure, right) = (percent(bin.confidence()), percent(bin.accuracy()));
        writeln!(out, "  {sure:>7} {right:>7}  {}", thousands(bin.count))?;
    }
    Ok(())
}

fn confused(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    let mut pairs = about.evaluated.evaluation.confusion().mistakes(LINES);
    pairs.retain(|&(.., count)| count > 1);
    if pairs.is_empty() {
        return Ok(());
    }
    heading(out, paint, "Taken for something else most often")?;
    for (label, predicted, count) in pairs {
        let name = |class| printable(short(about.evaluated.label(class))).into_owned();
        writeln!(out, "  {count:>7}  {} for {}", name(label), name(predicted))?;
    }
    Ok(())
}

fn mistakes(about: &About<'_>, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
    if about.evaluated.mistakes.is_empty() {
        return Ok(());
    }
    heading(out, paint, "Most confident mistakes")?;
    for mistake in about.evaluated.mistakes.iter().take(LINES) {
        let name = |class| printable(short(about.evaluated.label(class))).into_owned();
        let predicted = paint.paint(WARNING, name(mistake.predicted));
        let sure = percent(f64::from(mistake.confidence));
        let path = about.inside(&mistake.source);
        let path = paint.paint(FAINT, printable(&path).into_owned());
        writeln!(out, "  {sure:>7}  {predicted}, is {}  {path}", name(mistake.label))?;
    }
    Ok(())
}
