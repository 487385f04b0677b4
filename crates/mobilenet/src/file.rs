//! Reading image files: whole, and not more than an image file can be; and decoding them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mobilenet_vision::{DecodeOptions, Decoder, Image};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of the largest image file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// Memory of larger files is not kept for the next.
const KEPT_BYTES: usize = 32 << 20;

/// Replaces `bytes` by those of the file at `path`; the memory is used again.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be read, is a folder, or is larger than 1 GiB; the text does
/// not repeat the path.
pub(crate) fn read_file(path: &Path, bytes: &mut Vec<u8>) -> Result<()> {
    let failed = |error: io::Error| Error::because(ErrorKind::Io, "", error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    bytes.clear();
    // A device says 0 and goes on for ever. One byte more than the file has shows its end at once.
    bytes.reserve(length.min(MAX_BYTES) as usize + 1);
    file.by_ref().take(MAX_BYTES + 1).read_to_end(bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::Io, "larger than 1 GiB; is it an image?"));
    }
    Ok(())
}

/// The picture in the file at `path`.
///
/// # Errors
/// [`ErrorKind::Io`] if the file cannot be read, is a folder, or is larger than 1 GiB;
/// [`ErrorKind::Image`] if it is no picture or a damaged one. The text does not repeat the path.
pub fn open_image(path: &Path, options: &DecodeOptions) -> Result<Image> {
    Photos::new(*options).open(path)
}

/// What turns image files into pictures on one thread, with memory that is used again.
#[derive(Debug)]
pub(crate) struct Photos {
    decoder: Decoder,
    file: Vec<u8>,
}

impl Photos {
    pub(crate) fn new(options: DecodeOptions) -> Photos {
        Photos { decoder: Decoder::new(options), file: Vec::new() }
    }

    /// The picture in the file at `path`.
    pub(crate) fn open(&mut self, path: &Path) -> Result<Image> {
        read_file(path, &mut self.file)?;
        let image = self.decoder.decode(&self.file)?;
        if self.file.capacity() > KEPT_BYTES {
            self.file = Vec::new();
        }
        Ok(image)
    }

    /// The picture in these bytes.
    pub(crate) fn decode(&mut self, file: &[u8]) -> Result<Image> {
        Ok(self.decoder.decode(file)?)
    }

    /// Gives back a picture that is no longer needed.
    pub(crate) fn recycle(&mut self, image: Image) {
        self.decoder.recycle(image);
    }
}
