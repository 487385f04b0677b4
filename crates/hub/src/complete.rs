//! Whether files can be a whole SavedModel: the graph, and every shard of the variables.
//!
//! Judged by names and sizes, and where the graph is not called as usual by its first bytes. What the
//! files mean is read by `mobilenet-formats`; models of other formats are judged by who reads them, and
//! on their way into the cache by whether there is one at all.

use std::path::Path;

use mobilenet_formats::FileSource as _;
use mobilenet_formats::tensorflow::begins_saved_model;
use mobilenet_formats::{Limits, ModelKind};

use crate::module::{ModuleDir, ModuleFile};
use crate::{Error, ErrorKind, Result};

/// Refuses a SavedModel with a part missing: `message`, and what it lacks. `root` is the folder it
/// lies in, or `None` for an archive.
pub(crate) fn check(module: &ModuleDir, message: &str, root: Option<&Path>) -> Result<()> {
    let files = module.files();
    if !files.is_empty() && !files.iter().any(is_of_saved_model) {
        return Ok(());
    }
    let graph = graph(module, &files);
    let names: Vec<NameAndSize<'_>> = files
        .iter()
        .map(|file| match graph.as_deref() == Some(file.path.as_str()) {
            true => (GRAPHS[0], file.size),
            false => (file.path.as_str(), file.size),
        })
        .collect();
    let Some(lack) = lack(&names) else { return Ok(()) };
    let error = Error::new(ErrorKind::Incomplete, format!("{message}: {lack}"));
    let at_root = names.iter().any(|(path, _)| GRAPHS.contains(path));
    Err(match (folder_of_graph(&names).filter(|_| !at_root), root) {
        (None, _) => error,
        (Some(folder), Some(root)) => error.hint(format!("give {}", root.join(folder).display())),
        (Some(folder), None) => error.hint(format!("unpack it and give its folder `{folder}`")),
    })
}

/// As [`check`], and refuses files that hold no model of any kind: what is to be in the cache.
pub(crate) fn check_cached(
    module: &ModuleDir,
    message: &str,
    root: Option<&Path>,
    limits: &Limits,
) -> Result<()> {
    check(module, message, root)?;
    let files = module.files();
    let is_graph = |file: &ModuleFile| GRAPHS.contains(&file.path.as_str());
    if files
        .iter()
        .any(|file| is_graph(file) || is_of_saved_model(file) || is_model(module, file, limits))
    {
        return Ok(());
    }
    let names: Vec<NameAndSize<'_>> =
        files.iter().map(|file| (file.path.as_str(), file.size)).collect();
    let message = format!("{message}: no model at its root; there is {}", some_names(&names));
    Err(Error::new(ErrorKind::Incomplete, message))
}

/// Whether a file at the root is a model, or the note that names a checkpoint.
fn is_model(module: &ModuleDir, file: &ModuleFile, limits: &Limits) -> bool {
    if file.path.contains('/') || file.size > limits.file_bytes {
        return false;
    }
    let read = || module.read(&file.path).ok().flatten();
    file.path == "checkpoint" || read().is_some_and(|bytes| ModelKind::of(&bytes).is_some())
}

fn is_of_saved_model(file: &ModuleFile) -> bool {
    let path = file.path.as_str();
    path.rsplit('/').next() == Some(GRAPHS[0])
        || path.starts_with("variables/")
        || path == "tfhub_module.pb"
}

/// The file at the root that is the graph under another name, if none has the usual one.
fn graph(module: &ModuleDir, files: &[ModuleFile]) -> Option<String> {
    const LOOKED_AT: usize = 64;
    const HEAD_BYTES: u64 = 32;
    if files.iter().any(|file| GRAPHS.contains(&file.path.as_str())) {
        return None;
    }
    let begins = |file: &&ModuleFile| {
        let head = module.read_range(&file.path, 0..HEAD_BYTES);
        head.is_ok_and(|head| head.is_some_and(|head| begins_saved_model(&head)))
    };
    let chosen = |file: &&ModuleFile| match module.main_file() {
        Some(main) => main == file.path,
        None => !file.path.contains('/'),
    };
    let found = files.iter().filter(chosen).take(LOOKED_AT).find(begins);
    found.map(|file| file.path.clone())
}

/// A file of a module: its path with `/` between the parts, and its size.
type NameAndSize<'a> = (&'a str, u64);

/// Says what a module of these files lacks; `None` when nothing.
fn lack(files: &[NameAndSize<'_>]) -> Option<String> {
    lack_of_graph(files).or_else(|| lack_of_variables(files))
}

const GRAPHS: [&str; 2] = ["saved_model.pb", "saved_model.pbtxt"];

fn lack_of_graph(files: &[NameAndSize<'_>]) -> Option<String> {
    let size = |name: &str| files.iter().find(|(path, _)| *path == name).map(|(_, size)| *size);
    match GRAPHS.iter().find_map(|name| size(name)) {
        Some(0) => Some("saved_model.pb is empty".into()),
        Some(_) => None,
        None => Some(match folder_of_graph(files) {
            Some(folder) => format!("saved_model.pb is not at the root but in `{folder}`"),
            None => format!("no saved_model.pb; there is {}", some_names(files)),
        }),
    }
}

/// The only folder with a graph.
fn folder_of_graph<'a>(files: &[NameAndSize<'a>]) -> Option<&'a str> {
    let mut folders = files.iter().filter_map(|(path, _)| path.strip_suffix("/saved_model.pb"));
    folders.next().filter(|_| folders.next().is_none())
}

fn some_names(files: &[NameAndSize<'_>]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> =
        files.iter().take(SHOWN).map(|(path, _)| format!("`{}`", path.escape_debug())).collect();
    match files.len() {
        0 => "no file at all".into(),
        many if many > SHOWN => format!("{} and {} more", names.join(", "), many - SHOWN),
        _ => names.join(", "),
    }
}

const INDEX: &str = "variables/variables.index";
const DATA: &str = "variables/variables.data-";

/// A bundle is `variables.index` and `variables.data-00000-of-0000N` up to N-1.
fn lack_of_variables(files: &[NameAndSize<'_>]) -> Option<String> {
    let index = files.iter().find(|(path, _)| *path == INDEX);
    let shards: Vec<(u32, u32)> =
        files.iter().filter_map(|(path, _)| shard(path.strip_prefix(DATA)?)).collect();
    let missing = |of: u32| (0..of).find(|k| !shards.contains(&(*k, of)));
    match (index, shards.first()) {
        (None, None) => None,
        (None, Some(_)) => Some(format!("{INDEX} is missing")),
        (Some((_, 0)), _) => Some(format!("{INDEX} is empty")),
        (Some(_), None) => Some(format!("{DATA}00000-of-00001 is missing")),
        (Some(_), Some(&(_, of))) if of as usize > files.len() => {
            Some(format!("{DATA}… names {of} shards, more than there are files"))
        }
        (Some(_), Some(&(_, of))) => {
            missing(of).map(|k| format!("{DATA}{k:05}-of-{of:05} is missing"))
        }
    }
}

/// `00000-of-00001` as (0, 1).
fn shard(name: &str) -> Option<(u32, u32)> {
    let (k, of) = name.split_once("-of-")?;
    Some((k.parse().ok()?, of.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [NameAndSize<'static>; 4] = [
        ("saved_model.pb", 9),
        ("tfhub_module.pb", 2),
        ("variables/variables.data-00000-of-00001", 9),
        ("variables/variables.index", 9),
    ];

    #[test]
    fn every_missing_file_is_named() {
        assert_eq!(lack(&WHOLE), None);
        let without = |gone: &str| {
            let files: Vec<_> = WHOLE.into_iter().filter(|(path, _)| *path != gone).collect();
            lack(&files)
        };
        assert!(without("saved_model.pb").unwrap().contains("no saved_model.pb"));
        assert!(without("variables/variables.index").unwrap().contains("index is missing"));
        assert!(without(WHOLE[2].0).unwrap().contains("00000-of-00001 is missing"));
    }

    #[test]
    fn every_shard_is_needed() {
        let files = [
            ("saved_model.pb", 9),
            ("variables/variables.data-00000-of-00002", 9),
            ("variables/variables.index", 9),
        ];
        assert!(lack(&files).unwrap().contains("data-00001-of-00002 is missing"));
        let lies = [
            ("saved_model.pb", 9),
            ("variables/variables.data-00000-of-4000000000", 1),
            (INDEX, 1),
        ];
        assert!(lack(&lies).unwrap().contains("more than there are files"));
    }

    #[test]
    fn a_module_without_variables_is_whole() {
        assert_eq!(lack(&[("saved_model.pb", 9)]), None);
        assert_eq!(lack(&[("saved_model.pbtxt", 9)]), None);
        assert!(lack(&[("saved_model.pb", 0)]).unwrap().contains("empty"));
    }

    #[test]
    fn a_folder_around_the_module_is_named() {
        let reason = lack(&[("mobilenet/saved_model.pb", 9)]).unwrap();
        assert!(reason.contains("in `mobilenet`"), "{reason}");
    }
}
