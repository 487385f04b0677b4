//! From trained values to a module on disk.

use std::collections::BTreeMap;
use std::path::Path;

use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::{FileSource as _, Tensor};
use mobilenet_train::file::{make_folder, write_atomically};

use super::job::Job;
use crate::builder::MobilenetV1;
use crate::error::{Error, ErrorKind, Result};
use crate::preprocessing::Preprocessing;

/// The file that makes a folder a module.
const MODULE_FILE: &str = "tfhub_module.pb";

/// The network that a job trains, with the recipe's numbers in its graphs.
pub(super) fn builder(job: &Job, network: MobilenetV1, classes: usize) -> MobilenetV1 {
    let recipe = &job.recipe;
    MobilenetV1 {
        classes: Some(classes),
        image_size: [job.image_size; 2],
        dropout_keep_probability: recipe.dropout_keep,
        batch_norm_momentum: recipe.batch_norm_momentum,
        l2_regularization: recipe.l2_regularization,
        ..network
    }
}

/// Puts trained values, labels and preprocessing into the module and writes it.
pub(super) fn finish(
    module: &mut HubModule,
    values: &BTreeMap<String, Tensor>,
    labels: &[String],
    job: &Job,
) -> Result<()> {
    let model = module.saved_model_mut();
    for (name, value) in values {
        model.set_variable(name.clone(), value.clone());
    }
    model.set_file("assets/labels.txt", labels.join("\n") + "\n");
    model.set_file(Preprocessing::RECORD, job.preprocessing().to_record());
    write(module, &job.out)
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
