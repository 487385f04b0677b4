//! tract, its graph optimised for the batch; a batch is split over threads, for it uses one.

use std::thread;

use mobilenet_peers::{Error, Options, serve};
use tract_onnx::prelude::*;

fn main() -> Result<(), Error> {
    let Options { model, images, threads } = Options::from_args()?;
    let [n, c, h, w] = images.shape;
    let parts = if n % threads == 0 { threads } else { 1 };
    let shape = [n / parts, c, h, w];
    let runnable = onnx()
        .model_for_path(model.join("model.onnx"))?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let inputs: Vec<TValue> = images
        .nchw
        .chunks_exact(shape.iter().product())
        .map(|part| Tensor::from_shape(&shape, part).map(Into::into))
        .collect::<TractResult<_>>()?;
    let run = |input: &TValue| -> Result<Vec<f32>, Error> {
        let outputs = runnable.run(tvec!(input.clone()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    };
    serve("0.23.9", || match &inputs[..] {
        [input] => run(input),
        inputs => thread::scope(|scope| {
            let running: Vec<_> = inputs.iter().map(|input| scope.spawn(|| run(input))).collect();
            running.into_iter().map(|part| part.join().map_err(|_| "a thread panicked")?).collect::<Result<Vec<_>, _>>()
        })
        .map(|parts| parts.concat()),
    })
}
