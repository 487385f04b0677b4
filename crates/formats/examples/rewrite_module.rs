//! Reads a TF1 Hub module into structs and writes the structs back: `rewrite_module IN OUT`, both folders.
//!
//! TensorFlow's opinion of `OUT` is asked by `interop/run`. What is not changed would be written back
//! byte for byte, which proves little: so every meta graph and every variable is replaced by itself,
//! decoded, and the writers encode all of them anew.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::{Limits, MemoryFiles, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = env::args().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err("usage: rewrite_module IN OUT".into());
    };
    let mut files = MemoryFiles::default();
    gather(Path::new(input), "", &mut files)?;
    let mut module = HubModule::read(&files, &Limits::default())?;
    touch_everything(&mut module)?;
    let written = module.to_files()?;
    for folder in written.folders() {
        fs::create_dir_all(Path::new(output).join(folder))?;
    }
    for (path, bytes) in written.iter() {
        let path = Path::new(output).join(path);
        fs::create_dir_all(path.parent().ok_or("a file outside every folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// Replaces every meta graph and every variable by what was read.
fn touch_everything(module: &mut HubModule) -> Result<(), Box<dyn Error>> {
    let model = module.saved_model_mut();
    let graphs = model.meta_graphs().iter().map(|graph| graph.def().cloned());
    for graph in graphs.collect::<Result<Vec<_>, _>>()? {
        model.push_meta_graph(graph);
    }
    let variables =
        model.variable_names().into_iter().map(|name| Ok((name.to_owned(), model.variable(name)?)));
    let variables =
        variables.collect::<Result<Vec<(String, Tensor)>, mobilenet_formats::Error>>()?;
    model.clear_variables();
    for (name, value) in variables {
        model.set_variable(name, value);
    }
    Ok(())
}

/// Adds what lies in `folder` under names that start with `prefix`.
fn gather(folder: &Path, prefix: &str, files: &mut MemoryFiles) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or("a name that is not UTF-8")?;
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            files.insert_folder(&*name);
            gather(&path, &format!("{name}/"), files)?;
        } else {
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}
