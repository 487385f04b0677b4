//! [`ModuleDir`]: the files of a resolved module, in a folder or in memory, and their [`Checksum`].
//!
//! The resolvers make it; `mobilenet-formats` reads it through [`FileSource`].

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mobilenet_formats::{FileSource, MemoryFiles, PIECE_BYTES};
use sha2::{Digest, Sha256};

use crate::error::At;
use crate::manifest::is_plain;
use crate::{Handle, Result, hex};

/// The complete files of a module, on disk or in memory. Cheap to clone.
///
/// A folder's files are read when they are asked for, an archive file's are in memory already.
///
/// ```
/// use mobilenet_formats::FileSource;
/// use mobilenet_hub::{Handle, Hub, HubOptions};
/// # let dir = std::env::temp_dir().join(format!("mobilenet-doc-module-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # std::fs::write(dir.join("saved_model.pb"), b"graph").unwrap();
/// # let folder = dir.to_str().unwrap();
///
/// let hub = Hub::new(HubOptions::default())?;
/// let module = hub.resolve(&Handle::parse(folder)?)?;
/// assert_eq!(module.paths(), ["saved_model.pb"]);
/// assert_eq!(module.read("saved_model.pb").unwrap().unwrap(), &b"graph"[..]);
/// println!("{}", module.checksum()?);
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), mobilenet_hub::Error>(())
/// ```
#[derive(Clone)]
pub struct ModuleDir {
    inner: Arc<Inner>,
    /// Whether files that are not listed are found by name: see [`ModuleDir::with_neighbours`].
    neighbours: bool,
}

struct Inner {
    handle: Handle,
    files: Files,
    main: Option<String>,
    checksum: OnceLock<Checksum>,
    /// Whether a file that is not listed was found by name.
    beside: AtomicBool,
}

enum Files {
    Folder { root: PathBuf, files: Vec<ModuleFile>, last: Mutex<Option<OpenFile>> },
    Memory(MemoryFiles),
}

/// A file that was read in part.
struct OpenFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl OpenFile {
    /// So many bytes from `at` on; fewer at the end of the file.
    fn read(&mut self, at: u64, count: u64) -> io::Result<&[u8]> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        let mut filled = 0;
        while let Some(rest @ [_, ..]) = self.buffer.get_mut(filled..count) {
            match read_at(&mut self.file, rest, at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.get(..filled).unwrap_or_default())
    }
}

#[cfg(unix)]
fn read_at(file: &mut File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_at(file: &mut File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    use std::io::{Seek as _, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    file.read(bytes)
}

/// One file of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// Its path in the module, with `/` between the parts.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

impl ModuleDir {
    /// A module in the folder `root`; `files` are sorted here.
    pub(crate) fn folder(handle: Handle, root: PathBuf, mut files: Vec<ModuleFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::new(handle, Files::Folder { root, files, last: Mutex::default() }, None)
    }

    /// As [`Self::folder`], for a handle that names the file `main` in it.
    pub(crate) fn file(
        handle: Handle,
        root: PathBuf,
        mut files: Vec<ModuleFile>,
        main: String,
    ) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::new(handle, Files::Folder { root, files, last: Mutex::default() }, Some(main))
    }

    pub(crate) fn memory(handle: Handle, files: MemoryFiles) -> Self {
        Self::new(handle, Files::Memory(files), None)
    }

    /// A module whose files are in memory: those of a folder, or the file `main` and what belongs to
    /// it. The handle is what it is called in messages.
    pub fn of_memory(handle: Handle, files: MemoryFiles, main: Option<&str>) -> Self {
        Self::new(handle, Files::Memory(files), main.map(str::to_owned))
    }

    fn new(handle: Handle, files: Files, main: Option<String>) -> Self {
        let (checksum, beside) = (OnceLock::new(), AtomicBool::new(false));
        let inner = Inner { handle, files, main, checksum, beside };
        ModuleDir { inner: Arc::new(inner), neighbours: false }
    }

    /// With a checksum that is known already.
    pub(crate) fn with_checksum(self, checksum: Checksum) -> Self {
        let _ = self.inner.checksum.set(checksum);
        self
    }

    /// The handle it was resolved from.
    pub fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    /// The file the handle names, where it names one file and not a folder or an archive. The
    /// others are what belongs to it: a checkpoint's shards, a model's external weights.
    pub fn main_file(&self) -> Option<&str> {
        self.inner.main.as_deref()
    }

    /// The folder the files are in; `None` when they are in memory.
    pub fn path(&self) -> Option<&Path> {
        match &self.inner.files {
            Files::Folder { root, .. } => Some(root),
            Files::Memory(_) => None,
        }
    }

    /// All files, sorted by path. What a file names beside it by a name of its own, such as an ONNX file
    /// its external weights, is not among them: see [`Self::uses_others`].
    pub fn files(&self) -> Vec<ModuleFile> {
        match &self.inner.files {
            Files::Folder { files, .. } => files.clone(),
            Files::Memory(files) => files
                .iter()
                .map(|(path, bytes)| ModuleFile { path: path.into(), size: bytes.len() as u64 })
                .collect(),
        }
    }

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files().iter().map(|file| file.size).sum()
    }

    /// Whether a file that [`Self::files`] does not list was found so far, because one of them names it:
    /// [`Self::size`] and [`Self::checksum`] are then without it.
    pub fn uses_others(&self) -> bool {
        self.inner.beside.load(Ordering::Relaxed)
    }

    /// The checksum of all [`Self::files`], and of nothing that they name beside them; known already for a cached module, computed by reading every
    /// file the first time it is asked for otherwise.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn checksum(&self) -> Result<Checksum> {
        if let Some(known) = self.inner.checksum.get() {
            return Ok(*known);
        }
        let mut all = Checksum::of_files();
        for ModuleFile { path, .. } in self.files() {
            all.add(&path, self.hash(&path)?);
        }
        Ok(*self.inner.checksum.get_or_init(|| all.finish()))
    }

    fn hash(&self, path: &str) -> Result<Checksum> {
        match &self.inner.files {
            Files::Folder { root, .. } => Checksum::of_file(&root.join(path)),
            Files::Memory(files) => Ok(Checksum::of(files.get(path).unwrap_or_default())),
        }
    }

    /// The same files and, for a handle that names one file, whatever lies in its folder and below it,
    /// found by name and not listed: what the file says belongs to it. Paths that lead out of the
    /// folder find nothing.
    #[must_use]
    pub fn with_neighbours(&self) -> ModuleDir {
        let neighbours = self.main_file().is_some();
        ModuleDir { inner: Arc::clone(&self.inner), neighbours }
    }

    /// Where the file at `path` is, if the module has it and is a folder.
    fn locate(&self, path: &str) -> Option<(PathBuf, u64)> {
        let Files::Folder { root, files, .. } = &self.inner.files else { return None };
        match files.binary_search_by(|file| file.path.as_str().cmp(path)) {
            Ok(at) => files.get(at).map(|file| (root.join(path), file.size)),
            Err(_) if self.neighbours && is_plain(path) => {
                let path = root.join(path);
                let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
                self.inner.beside.store(true, Ordering::Relaxed);
                Some((path, metadata.len()))
            }
            Err(_) => None,
        }
    }
}

impl FileSource for ModuleDir {
    fn read(&self, path: &str) -> io::Result<Option<Cow<'_, [u8]>>> {
        match (&self.inner.files, self.locate(path)) {
            (Files::Memory(files), _) => files.read(path),
            (_, Some((path, _))) => fs::read(path).map(Cow::Owned).map(Some),
            (_, None) => Ok(None),
        }
    }

    fn paths(&self) -> Vec<String> {
        self.files().into_iter().map(|file| file.path).collect()
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Option<Cow<'_, [u8]>>> {
        if let Files::Memory(files) = &self.inner.files {
            return files.read_range(path, range);
        }
        let len = self.locate(path).map_or(0, |(_, size)| size.min(range.end));
        let wanted = usize::try_from(len.saturating_sub(range.start)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(wanted);
        let there = self.visit_range(path, range, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(there.then_some(Cow::Owned(bytes)))
    }

    fn visit_range(
        &self,
        path: &str,
        range: Range<u64>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> io::Result<bool> {
        let last = match &self.inner.files {
            Files::Memory(files) => return files.visit_range(path, range, visit),
            Files::Folder { last, .. } => last,
        };
        let Some((path, size)) = self.locate(path) else { return Ok(false) };
        // The variables of a module are a hundred ranges of one file: it stays open.
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match last.take() {
            Some(open) if open.path == path => open,
            _ => OpenFile { file: File::open(&path)?, path, buffer: Vec::new() },
        };
        let (mut at, end) = (range.start, range.end.min(size));
        while at < end {
            let piece = open.read(at, (end - at).min(PIECE_BYTES))?;
            if piece.is_empty() {
                break;
            }
            visit(piece);
            at += piece.len() as u64;
        }
        *last = Some(open);
        Ok(true)
    }

    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        match &self.inner.files {
            Files::Memory(files) => files.len(path),
            Files::Folder { .. } => Ok(self.locate(path).map(|(_, size)| size)),
        }
    }
}

impl fmt::Debug for ModuleDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleDir")
            .field("handle", &self.handle().as_str())
            .field("path", &self.path())
            .field("files", &self.files().len())
            .finish()
    }
}

/// A SHA-256: of a file's bytes, or of a module.
///
/// That of a module is the SHA-256 of the lines `<checksum>  <path>` of its files sorted by path,
/// as `sha256sum` prints them, so it says the same of a folder and of any archive of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Checksum(Sha256::digest(bytes).into())
    }

    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).at(path, "open it")?;
        let (mut hasher, mut block) = (Sha256::new(), vec![0; 64 << 10]);
        loop {
            match file.read(&mut block).at(path, "read it")? {
                0 => return Ok(Checksum(hasher.finalize().into())),
                n => hasher.update(block.get(..n).unwrap_or_default()),
            }
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        hex::decode(text).map(Checksum)
    }

    pub(crate) fn of_files() -> ModuleHasher {
        ModuleHasher(Sha256::new())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

/// Takes a module's files in order of path.
pub(crate) struct ModuleHasher(Sha256);

impl ModuleHasher {
    pub(crate) fn add(&mut self, path: &str, checksum: Checksum) {
        self.0.update(format!("{checksum}  {path}\n"));
    }

    pub(crate) fn finish(self) -> Checksum {
        Checksum(self.0.finalize().into())
    }
}
