//! The first photo is read and decoded while the module loads: with a single photo the two are
//! most of what there is to do.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use mobilenet::{DecodeOptions, Error, Image, open_image};

/// A photo under way.
pub(crate) struct Ahead {
    path: PathBuf,
    options: DecodeOptions,
    thread: Mutex<Option<JoinHandle<Result<Image, Error>>>>,
}

impl Ahead {
    /// Starts with the file at `path`, if it is one: what can be read only once is left alone.
    pub(crate) fn start(path: &Path, options: DecodeOptions) -> Option<Self> {
        if !path.is_file() {
            return None;
        }
        let file = path.to_owned();
        let open = move || open_image(&file, &options);
        let thread = std::thread::Builder::new().name("ahead".into()).spawn(open).ok()?;
        Some(Ahead { path: path.to_owned(), options, thread: Mutex::new(Some(thread)) })
    }

    /// The photo, once, if it is the one at `path` and was decoded as is wanted.
    pub(crate) fn take(&self, path: &Path, wanted: DecodeOptions) -> Option<Result<Image, Error>> {
        if path != self.path || wanted != self.options {
            return None;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // A panic shows again where the photo is decoded once more.
        thread.join().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_is_given_once_and_only_as_it_was_decoded() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/coffee.jpg"));
        let options = DecodeOptions::default();
        let ahead = Ahead::start(path, options).expect("a file");
        assert!(ahead.take(Path::new("other.jpg"), options).is_none());
        assert!(ahead.take(path, DecodeOptions { ignore_exif: true, ..options }).is_none());
        let image = ahead.take(path, options).expect("decoded").expect("a photo");
        assert_eq!(image.pixels(), open_image(path, &options).expect("a photo").pixels());
        assert!(ahead.take(path, options).is_none());
        assert!(Ahead::start(Path::new("/"), options).is_none());
    }
}
