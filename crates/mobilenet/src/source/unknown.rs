//! What is said of files that no format knows: what they should be by their name, and what to name or
//! do instead.

use mobilenet_formats::FileSource;
use mobilenet_hub::ModuleDir;

use super::{CANDIDATES, FORMATS, Format, Wanted, has, recognise};
use crate::error::{Error, ErrorKind};

/// Why the files are no model.
pub(super) fn error(wanted: &Wanted<'_>) -> Error {
    let files = wanted.files;
    let hint = files.main_file().and_then(|path| hint(files, path));
    let message = hint.unwrap_or_else(|| {
        let known: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        let mut there = files.paths();
        there.truncate(5);
        let what = match files.main_file() {
            Some(_) => String::new(),
            None => format!(" (it has {})", there.join(", ")),
        };
        let below = match below(wanted) {
            None => String::new(),
            Some(path) => match files.path().filter(|_| !files.handle().is_remote()) {
                Some(root) => {
                    format!("; there is one in a folder of it: give {}", root.join(path).display())
                }
                None => format!("; there is one in a folder of it: unpack it and give {path}"),
            },
        };
        let (handle, known) = (files.handle(), known.join(", "));
        format!("{handle} is no model of a known kind{what}; known are: {known}{below}")
    });
    Error::new(ErrorKind::Format, message)
}

/// The only model one folder down, of those that are quickly read.
fn below(wanted: &Wanted<'_>) -> Option<String> {
    const FILE_BYTES: u64 = 256 << 20;
    let mut left: u64 = 1 << 30;
    let paths = wanted.files.paths();
    let nested = paths.iter().filter(|path| path.matches('/').count() == 1).take(CANDIDATES);
    let small = |path: &&String| {
        let len = wanted.files.len(path).ok().flatten();
        let rest = len.filter(|&len| len <= FILE_BYTES).and_then(|len| left.checked_sub(len));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    // What cannot be read is none.
    let mut models = nested.filter(small).filter_map(|path| recognise(wanted, path).ok().flatten());
    match (models.next(), models.next()) {
        (Some((_, path, _)), None) => Some(path),
        _ => None,
    }
}

/// What is known of the file at `path` by its name and size.
fn hint(files: &ModuleDir, path: &str) -> Option<String> {
    let handle = files.handle().as_str();
    if let Some(part) = part_of_checkpoint(path) {
        let whole = handle.strip_suffix(part).unwrap_or(handle);
        let prefix = path.strip_suffix(part).unwrap_or(path);
        // A checkpoint of version 1 is a file without an ending.
        let beside = files.with_neighbours();
        let name = if has(&beside, &format!("{prefix}.index")) {
            format!("name {whole} (or {whole}.index)")
        } else if has(&beside, prefix) {
            format!("name {whole}")
        } else {
            format!("{whole}.index is missing beside it")
        };
        return Some(format!("{handle} is a part of a checkpoint: {name}"));
    }
    if matches!(files.len(path), Ok(Some(0))) {
        return Some(format!("{handle} is empty: fetch or make it again"));
    }
    let lower = path.to_ascii_lowercase();
    if lower.ends_with(".zip") {
        return Some(format!("{handle} is a zip archive: unpack it, and name the model in it"));
    }
    let ending = |format: &Format| format.endings.iter().find(|ending| lower.ends_with(**ending));
    let (format, ending) = FORMATS.iter().find_map(|format| Some((format, ending(format)?)))?;
    Some(format!(
        "{handle} ends in {ending} but is no {}: it is damaged, cut off or something else; fetch or make \
         it again",
        format.name
    ))
}

/// The end of the name of a checkpoint's graph, `.meta`, or of its values, `.data-00000-of-00001`.
fn part_of_checkpoint(path: &str) -> Option<&str> {
    const GRAPH: &str = ".meta";
    let shard = || {
        let start = path.rfind(".data-")?;
        let (number, count) = path.get(start..)?.strip_prefix(".data-")?.split_once("-of-")?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (is_number(number) && is_number(count)).then_some(start)
    };
    let start = if path.ends_with(GRAPH) { Some(path.len() - GRAPH.len()) } else { shard() };
    path.get(start?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_checkpoints_are_known_by_name() {
        assert_eq!(part_of_checkpoint("x.ckpt.meta"), Some(".meta"));
        let shard = ".data-00000-of-00001";
        assert_eq!(part_of_checkpoint("x.ckpt-7.data-00000-of-00001"), Some(shard));
        for other in
            ["x.ckpt", "x.ckpt.index", "x.onnx.data", "x.data-1-of-", "x.data-a-of-b", "meta"]
        {
            assert_eq!(part_of_checkpoint(other), None, "{other}");
        }
    }
}
