//! Reads a file into structs and writes the structs back: `rewrite IN OUT`.
//!
//! What other programs make of `OUT` shows whether reader and writer tell the truth. TFLite files
//! keep the label files packed behind them.

use std::error::Error;
use std::{env, fs};

use mobilenet_formats::{Limits, npy, onnx, safetensors, tflite};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = env::args().skip(1).collect();
    let [input, output] = paths.as_slice() else { return Err("usage: rewrite IN OUT".into()) };
    fs::write(output, rewrite(&fs::read(input)?)?)?;
    Ok(())
}

fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let limits = Limits::default();
    if tflite::detect(bytes) {
        let model = tflite::Model::read(bytes, &limits)?.write()?;
        return Ok(tflite::append_files(model, &tflite::associated_files(bytes, &limits)?)?);
    }
    if npy::detect(bytes) {
        return Ok(npy::write(&npy::read(bytes, &limits)?)?);
    }
    if safetensors::detect(bytes) {
        let file = safetensors::SafeTensors::read(bytes, &limits)?;
        let names: Vec<&str> = file.names().collect();
        let tensors = names.iter().map(|name| file.tensor(name)).collect::<Result<Vec<_>, _>>()?;
        return Ok(safetensors::write(names.into_iter().zip(&tensors), file.metadata())?);
    }
    if onnx::detect(bytes) {
        return Ok(onnx::write(&onnx::read(bytes, &limits)?));
    }
    Err("neither ONNX nor TFLite nor NumPy nor safetensors".into())
}
