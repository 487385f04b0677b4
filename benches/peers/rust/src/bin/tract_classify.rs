//! The smallest program that classifies one photo with tract: `tract_classify MODEL.onnx LABELS PHOTO`.
//!
//! For the comparison of start-up times: from exec to a printed label.

use mobilenet_peers::Error;
use tract_onnx::prelude::*;

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let [_, model, labels, photo] = &args[..] else { return Err("usage: MODEL.onnx LABELS PHOTO".into()) };
    let model = onnx().model_for_path(model)?;
    let size = 192;
    let runnable =
        model.with_input_fact(0, f32::fact([1, 3, size, size]).into())?.into_optimized()?.into_runnable()?;
    let photo = image::open(photo)?.to_rgb8();
    let photo =
        image::imageops::resize(&photo, size as u32, size as u32, image::imageops::FilterType::Triangle);
    let input = tract_ndarray::Array4::from_shape_fn((1, 3, size, size), |(_, c, y, x)| {
        f32::from(photo[(x as u32, y as u32)][c]) / 127.5 - 1.0
    });
    let outputs = runnable.run(tvec!(Tensor::from(input).into()))?;
    let logits = outputs[0].to_plain_array_view::<f32>()?;
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).ok_or("no logits")?.0;
    let labels = std::fs::read_to_string(labels)?;
    println!("{}", labels.lines().nth(best).ok_or("no such label")?);
    Ok(())
}
