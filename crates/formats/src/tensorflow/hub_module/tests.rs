//! `tfhub_module.pb` as it should be and as it should not.

use super::*;
use crate::tensorflow::messages::MetaGraphDef;

fn files() -> MemoryFiles {
    let mut model = SavedModel::default();
    model.push_meta_graph(MetaGraphDef::default());
    model.set_variable("w", Tensor::vector(vec![1f32]));
    HubModule::new(model).to_files().unwrap()
}

/// Reads a module with these bytes as `tfhub_module.pb`.
fn read(def: &[u8]) -> Result<HubModule> {
    let mut files = files();
    files.insert(MODULE_FILE, def);
    HubModule::read(&files, &Limits::default())
}

#[test]
fn a_module_is_written_and_read_back() {
    let files = files();
    assert_eq!(files.get(MODULE_FILE), Some(&[8, 3][..]));
    let module = HubModule::read(&files, &Limits::default()).unwrap();
    assert_eq!(module.module_def().format, 3);
    assert_eq!(module.variable("w").unwrap().as_f32(), Some(&[1.0][..]));
    assert!(module.meta_graph(&[]).is_ok());
    assert_eq!(module.to_files().unwrap(), files);
}

#[test]
fn a_required_feature_that_is_unknown_is_refused() {
    let def = ModuleDef { format: 3, required_features: vec!["time-travel".into()] };
    let error = read(&def.encode_to_vec()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("\"time-travel\""), "{error}");
}

#[test]
fn another_format_is_refused() {
    for def in [&[][..], &[8, 2], &[8, 4]] {
        assert_eq!(read(def).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(read(&[8]).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn a_folder_without_the_module_file_is_no_module() {
    let mut files = files();
    files.remove(MODULE_FILE);
    let error = HubModule::read(&files, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(SavedModel::read(&files, &Limits::default()).is_ok());
}
