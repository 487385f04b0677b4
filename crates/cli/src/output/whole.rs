//! Files that appear under their name only when they are complete.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A temporary file in the folder of `path`.
pub(super) fn beside(path: &Path) -> Result<BufWriter<NamedTempFile>, Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mobilenet-").suffix(".tmp");
    #[cfg(unix)]
    {
        // As other files are made: the umask takes from this. (Temporary files are 0600.)
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder).map_err(|e| cannot_write(path, &e))?;
    Ok(BufWriter::new(file))
}

/// Gives the temporary file its name.
pub(super) fn persist(out: BufWriter<NamedTempFile>, path: &Path) -> Result<(), Failure> {
    let file = out.into_inner().map_err(|e| cannot_write(path, e.error()))?;
    file.persist(path).map_err(|e| cannot_write(path, &e.error))?;
    Ok(())
}

/// A file that will be written in one go; making one early finds out early that it cannot be.
pub(crate) struct WholeFile<'a> {
    path: &'a Path,
    out: BufWriter<NamedTempFile>,
}

impl<'a> WholeFile<'a> {
    /// Will be the file at `path`; leaves nothing if it is not written.
    pub(crate) fn create(path: &'a Path) -> Result<Self, Failure> {
        Ok(WholeFile { path, out: beside(path)? })
    }

    /// Writes all of it.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|e| cannot_write(self.path, &e))?;
        persist(self.out, self.path)
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("cannot write {}", path.display()), error)
}
