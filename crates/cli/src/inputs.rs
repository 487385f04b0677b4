//! From arguments to a stream of paths: files, folders, globs, a list on stdin. Nothing is
//! collected: a folder of a million images starts with its first entries, and so does a glob whose
//! folder is named, like `DIR/*.jpg`. Opening and decoding the files comes later, on other threads.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf, is_separator};

/// Entries of folders are put in path order this many at a time, so that an ordinary folder
/// comes out sorted and a huge one starts at once.
const SORTED_AT_ONCE: usize = 4096;

/// What a command takes from a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Images.
    Images,
    /// Images and NumPy arrays.
    ImagesAndArrays,
}

/// An input that could not even be named: no such file, a folder without `-r`.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The input as the user wrote it.
    pub(crate) path: PathBuf,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

type Item = Result<PathBuf, Unreadable>;
type Paths = Box<dyn Iterator<Item = Item> + Send>;

/// Paths of input files, in the order the arguments name them.
pub(crate) struct Inputs {
    arguments: VecDeque<PathBuf>,
    current: Option<Paths>,
    recursive: bool,
    separator: u8,
    kind: Kind,
}

impl Inputs {
    /// The files that `arguments` name. `separator` ends each path on stdin.
    pub(crate) fn new(arguments: Vec<PathBuf>, recursive: bool, separator: u8, kind: Kind) -> Self {
        Inputs { arguments: arguments.into(), current: None, recursive, separator, kind }
    }

    /// How many files there will be, if every argument is a plain file.
    pub(crate) fn total(&self) -> Option<usize> {
        let plain = |path: &PathBuf| !is_stdin(path) && path.is_file();
        self.arguments.iter().all(plain).then_some(self.arguments.len())
    }

    fn expand(&self, argument: PathBuf) -> Paths {
        if is_stdin(&argument) {
            return Box::new(list(BufReader::new(io::stdin()), self.separator));
        }
        match argument.metadata() {
            Ok(data) if data.is_dir() && self.recursive => Box::new(walk(argument, self.kind)),
            Ok(data) if data.is_dir() => fail(argument, "is a folder; add -r to look into it"),
            Ok(_) => Box::new(std::iter::once(Ok(argument))),
            Err(error) => missing(argument, &error),
        }
    }
}

impl Iterator for Inputs {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.current.as_mut().and_then(Iterator::next) {
                return Some(item);
            }
            let argument = self.arguments.pop_front()?;
            self.current = Some(self.expand(argument));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.current.is_some() {
            return (0, None);
        }
        (0, self.total())
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn fail(path: PathBuf, message: impl Into<String>) -> Paths {
    Box::new(std::iter::once(Err(Unreadable { path, message: message.into() })))
}

/// An argument that is no file: a glob the shell did not expand, or a mistake.
fn missing(argument: PathBuf, error: &io::Error) -> Paths {
    let pattern = argument.to_str().filter(|text| text.contains(['*', '?', '[']));
    let Some(pattern) = pattern else { return fail(argument, error.to_string()) };
    let found = match in_one_folder(pattern) {
        Some((folder, name)) => matching(folder, name),
        None => anywhere(pattern),
    };
    let mut paths = match found {
        Ok(paths) => paths.peekable(),
        Err(error) => return fail(argument, format!("not a valid glob: {error}")),
    };
    if paths.peek().is_none() {
        return fail(argument, "no file matches");
    }
    Box::new(paths)
}

/// The folder and the pattern of names, of a glob that looks into one folder.
fn in_one_folder(pattern: &str) -> Option<(&Path, &str)> {
    let path = Path::new(pattern);
    let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
    let special = folder.to_str()?.contains(['*', '?', '[']);
    let streams = !special && !name.contains("**") && !pattern.ends_with(is_separator);
    // Paths come out as `glob` gives them: without a `./` before.
    streams.then(|| (folder.strip_prefix(".").unwrap_or(folder), name))
}

/// The files of a folder whose names match, as the folder is read: in order, [`SORTED_AT_ONCE`] at
/// a time.
fn matching(folder: &Path, name: &str) -> Result<Paths, glob::PatternError> {
    let name = glob::Pattern::new(name)?;
    let here = folder.as_os_str().is_empty();
    let entries = match fs::read_dir(if here { Path::new(".") } else { folder }) {
        Ok(entries) => entries,
        // As with any glob, nothing matches in a folder that is not there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Box::new(std::iter::empty()));
        }
        Err(error) => return Ok(fail(folder.to_path_buf(), error.to_string())),
    };
    let folder = folder.to_path_buf();
    let entries = entries.filter_map(move |entry| match entry {
        Ok(entry) => {
            let file = entry.file_name();
            let matches = file.to_str().is_some_and(|file| name.matches(file));
            let path = folder.join(file);
            (matches && !is_folder(&entry, &path)).then_some(Ok(path))
        }
        Err(error) => Some(Err(Unreadable { path: folder.clone(), message: error.to_string() })),
    });
    Ok(Box::new(Chunked { entries, chunk: Vec::new().into_iter() }))
}

/// Whether it is a folder or a link to one; links are followed only here, one call each.
fn is_folder(entry: &fs::DirEntry, path: &Path) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && path.is_dir()))
}

/// The files that match any other glob. A folder with many is read whole before its first file.
fn anywhere(pattern: &str) -> Result<Paths, glob::PatternError> {
    let files = glob::glob(pattern)?.filter(|found| !matches!(found, Ok(path) if path.is_dir()));
    Ok(Box::new(files.map(|found| {
        found.map_err(|error| Unreadable {
            path: error.path().to_path_buf(),
            message: error.error().to_string(),
        })
    })))
}

/// The paths in a list, each ended by `separator`. Empty ones are left out, and so is a
/// carriage return before a newline.
fn list(reader: impl BufRead, separator: u8) -> impl Iterator<Item = Item> {
    reader.split(separator).filter_map(move |line| match line {
        Ok(mut bytes) => {
            if separator == b'\n' && bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            (!bytes.is_empty()).then(|| path_of(bytes))
        }
        Err(error) => Some(Err(Unreadable { path: "-".into(), message: error.to_string() })),
    })
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> Item {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> Item {
    match String::from_utf8(bytes) {
        Ok(path) => Ok(path.into()),
        Err(error) => Err(Unreadable {
            path: String::from_utf8_lossy(error.as_bytes()).into_owned().into(),
            message: "the path is not UTF-8".into(),
        }),
    }
}

/// The files in and under a folder, by their ending.
fn walk(folder: PathBuf, kind: Kind) -> impl Iterator<Item = Item> {
    let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry);
    let entries = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_entry(visible)
        .filter_map(move |entry| wanted(entry, kind));
    Chunked { entries, chunk: Vec::new().into_iter() }
}

fn wanted(entry: walkdir::Result<walkdir::DirEntry>, kind: Kind) -> Option<Item> {
    match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => {
            let path = entry.into_path();
            has_ending(&path, kind).then_some(Ok(path))
        }
        Err(error) => Some(Err(Unreadable {
            path: error.path().map(Path::to_path_buf).unwrap_or_default(),
            message: error.io_error().map_or_else(|| error.to_string(), ToString::to_string),
        })),
    }
}

fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Endings that mark a file in a folder as an image.
const IMAGE_ENDINGS: [&str; 10] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"];

fn has_ending(path: &Path, kind: Kind) -> bool {
    let Some(ending) = path.extension().and_then(|e| e.to_str()) else { return false };
    let is = |known: &str| ending.eq_ignore_ascii_case(known);
    IMAGE_ENDINGS.iter().any(|known| is(known)) || (kind == Kind::ImagesAndArrays && is("npy"))
}

/// An iterator over paths, sorted [`SORTED_AT_ONCE`] at a time.
struct Chunked<I> {
    entries: I,
    chunk: std::vec::IntoIter<Item>,
}

impl<I: Iterator<Item = Item>> Iterator for Chunked<I> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(item) = self.chunk.next() {
            return Some(item);
        }
        let mut chunk: Vec<Item> = self.entries.by_ref().take(SORTED_AT_ONCE).collect();
        chunk.sort_by(|a, b| name(a).cmp(name(b)));
        self.chunk = chunk.into_iter();
        self.chunk.next()
    }
}

fn name(item: &Item) -> &Path {
    match item {
        Ok(path) => path,
        Err(unreadable) => &unreadable.path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(items: impl Iterator<Item = Item>) -> Vec<String> {
        items
            .map(|item| match item {
                Ok(path) => path.display().to_string(),
                Err(bad) => format!("{}! {}", bad.path.display(), bad.message),
            })
            .collect()
    }

    #[test]
    fn lists_end_paths_with_newlines_or_nul() {
        assert_eq!(names(list(&b"a b.jpg\r\n\nc.jpg"[..], b'\n')), ["a b.jpg", "c.jpg"]);
        assert_eq!(names(list(&b"a\nb.jpg\0c.jpg\0"[..], 0)), ["a\nb.jpg", "c.jpg"]);
    }

    #[test]
    fn folders_give_visible_images_in_order() {
        let folder = std::env::temp_dir().join(format!("mobilenet-inputs-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("b/.hidden")).unwrap();
        for file in
            ["c.PNG", "a.jpg", "notes.txt", "b/d.webp", "b/.hidden/e.jpg", ".f.jpg", "x.npy"]
        {
            std::fs::write(folder.join(file), b"").unwrap();
        }
        let found = names(walk(folder.clone(), Kind::Images));
        let shown: Vec<_> =
            found.iter().map(|path| &path[folder.as_os_str().len() + 1..]).collect();
        assert_eq!(shown, ["a.jpg", "b/d.webp", "c.PNG"]);
        assert_eq!(names(walk(folder.clone(), Kind::ImagesAndArrays)).len(), 4);

        let not_recursive = Inputs::new(vec![folder.clone()], false, b'\n', Kind::Images);
        assert!(names(not_recursive)[0].ends_with("is a folder; add -r to look into it"));
        let glob = Inputs::new(vec![folder.join("**/*.webp")], false, b'\n', Kind::Images);
        assert_eq!(names(glob).len(), 1);
        let nothing = Inputs::new(vec![folder.join("*.tiff")], false, b'\n', Kind::Images);
        assert!(names(nothing)[0].ends_with("no file matches"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn globs_of_one_folder_stream_and_find_what_any_glob_finds() {
        let folder = std::env::temp_dir().join(format!("mobilenet-globs-{}", std::process::id()));
        fs::create_dir_all(folder.join("folder.jpg")).unwrap();
        for file in ["b.jpg", ".a.jpg", "c.JPG", "d.jpg.txt", "folder.jpg/e.jpg"] {
            fs::write(folder.join(file), b"").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("b.jpg", folder.join("link.jpg")).unwrap();
            std::os::unix::fs::symlink("folder.jpg", folder.join("to-folder.jpg")).unwrap();
        }
        let shown = folder.to_str().unwrap();
        for name in ["*.jpg", "*", "?.[jJ]*", "*.gif"] {
            let pattern = format!("{shown}/{name}");
            let (one, files) = in_one_folder(&pattern).unwrap();
            let streamed = names(matching(one, files).unwrap());
            assert_eq!(streamed, names(anywhere(&pattern).unwrap()), "{name}");
        }
        let found = Inputs::new(vec![folder.join("*.jpg")], false, b'\n', Kind::Images);
        assert_eq!(names(found).len(), if cfg!(unix) { 3 } else { 2 });
        for (name, says) in [("gone/*.jpg", "no file matches"), ("[*.jpg", "not a valid glob")] {
            let found = Inputs::new(vec![folder.join(name)], false, b'\n', Kind::Images);
            let found = names(found);
            assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
        }
        fs::remove_dir_all(folder).unwrap();

        let one = |pattern| in_one_folder(pattern).map(|(folder, name)| (folder.to_str(), name));
        assert_eq!(one("*.jpg"), Some((Some(""), "*.jpg")));
        assert_eq!(one("./*.jpg"), Some((Some(""), "*.jpg")));
        assert_eq!(one("../in/a?.jpg"), Some((Some("../in"), "a?.jpg")));
        for pattern in ["**/*.jpg", "in/**", "*/a.jpg", "in/*.jpg/"] {
            assert_eq!(one(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn chunks_keep_streaming() {
        let endless = (0..).map(|i| Ok(PathBuf::from(format!("{i}.jpg"))));
        let mut chunked = Chunked { entries: endless, chunk: Vec::new().into_iter() };
        assert_eq!(chunked.next().unwrap().unwrap(), Path::new("0.jpg"));
    }
}
