//! The files packed behind a model: an uncompressed zip whose offsets count from the start of the
//! whole file, as MediaPipe and Android's task library expect it.

use crate::{Limits, MemoryFiles, Result, zipped};

/// The files packed behind a model, by the names its metadata gives them; empty if there are none.
///
/// # Errors
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for a zip that cannot be read,
/// [`ErrorKind::UnsafePath`](crate::ErrorKind::UnsafePath) for names that leave the folder,
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) beyond the limits on archives.
pub fn associated_files(bytes: &[u8], limits: &Limits) -> Result<MemoryFiles> {
    if !zipped::detect(bytes) {
        return Ok(MemoryFiles::default());
    }
    zipped::unpack(bytes, limits)
}

/// Packs `files` behind the bytes of a written model.
///
/// ```
/// use mobilenet_formats::{Limits, MemoryFiles, tflite};
///
/// let mut labels = MemoryFiles::default();
/// labels.insert("labels.txt", "background\ntench\n");
/// let model = tflite::Model { version: 3, ..Default::default() }.write()?;
/// let bytes = tflite::append_files(model, &labels)?;
/// assert_eq!(tflite::associated_files(&bytes, &Limits::default())?, labels);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
///
/// # Errors
/// What the zip writer reports, as for more than 2³² files.
pub fn append_files(model: Vec<u8>, files: &MemoryFiles) -> Result<Vec<u8>> {
    zipped::append(model, files)
}
