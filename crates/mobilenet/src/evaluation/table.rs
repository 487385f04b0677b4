//! A table of paths and labels: CSV or TSV, with or without a line of column names.

use std::path::Path;

use mobilenet_train::dataset::Source;

use super::data::LabelledImages;
use crate::error::{Error, ErrorKind, Result};

/// Names a column of paths may have, and one of labels.
const PATH: [&str; 5] = ["path", "file", "filename", "image", "filepath"];
const LABEL: [&str; 5] = ["label", "class", "wnid", "synset", "category"];

/// The photos that the table at `path` lists; relative paths start at the table's folder.
///
/// The first line names the columns if it has both a `path` and a `label`; else the first column
/// is the path and the second the label.
pub(super) fn read(path: &Path, separator: u8) -> Result<LabelledImages> {
    let failed = |e: csv::Error| {
        Error::because(ErrorKind::Input, format!("{}: no readable table", path.display()), e)
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut columns = (0, 1);
    let mut pairs = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(failed)?;
        if number == 0
            && let Some(named) = named(&record)
        {
            columns = named;
            continue;
        }
        let cells = record.get(columns.0).zip(record.get(columns.1));
        match cells.filter(|(file, label)| !file.is_empty() && !label.is_empty()) {
            Some((file, label)) => {
                pairs.push((Source::File(folder.join(file)), label.to_owned()));
            }
            None => {
                let line = record.position().map_or(number as u64 + 1, csv::Position::line);
                let message = format!("{}: line {line} has no path or no label", path.display());
                return Err(Error::new(ErrorKind::Input, message));
            }
        }
    }
    Ok(LabelledImages::from_pairs(pairs))
}

/// The columns of path and label, if this is a line of column names.
fn named(record: &csv::StringRecord) -> Option<(usize, usize)> {
    let find = |names: &[&str]| {
        record.iter().position(|cell| names.iter().any(|name| cell.eq_ignore_ascii_case(name)))
    };
    find(&PATH).zip(find(&LABEL))
}
