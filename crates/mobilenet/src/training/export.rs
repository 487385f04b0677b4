//! From trained values to a module on disk.

use std::path::Path;

use mobilenet_formats::FileSource as _;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_train::file::{make_folder, write_atomically};

use crate::error::{Error, ErrorKind, Result};
use crate::preprocessing::Preprocessing;

/// The file that makes a folder a module.
const MODULE_FILE: &str = "tfhub_module.pb";

/// Adds what a classifier needs besides graphs and values: labels, and how photos are prepared.
pub(super) fn dress(module: &mut HubModule, labels: &[String], preprocessing: &Preprocessing) {
    let model = module.saved_model_mut();
    model.set_file("assets/labels.txt", labels.join("\n") + "\n");
    model.set_file(Preprocessing::RECORD, preprocessing.to_record());
}

/// Writes a module to `folder`, the file that makes it one last.
pub(super) fn write(module: &HubModule, folder: &Path) -> Result<()> {
    let files = module.to_files()?;
    let mut paths = files.paths();
    paths.sort_by_key(|path| path == MODULE_FILE);
    for path in paths {
        let to = folder.join(&path);
        if let Some(parent) = to.parent() {
            make_folder(parent)?;
        }
        let bytes = files
            .get(&path)
            .ok_or_else(|| Error::new(ErrorKind::Io, format!("{path} vanished from the module")))?;
        write_atomically(&to, bytes)?;
    }
    Ok(())
}
