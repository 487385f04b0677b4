//! Reading image files: whole, and not more than an image file can be.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Bytes of the largest image file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// The bytes of the file at `path`.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be read, is a folder, or is larger than 1 GiB; the text does
/// not repeat the path.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: io::Error| Error::because(ErrorKind::Io, "", error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // A device says 0 and goes on for ever.
    let mut bytes = Vec::with_capacity(length.min(MAX_BYTES) as usize);
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::Io, "larger than 1 GiB; is it an image?"));
    }
    Ok(bytes)
}
