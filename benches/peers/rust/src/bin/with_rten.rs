//! rten, on a thread pool of the size asked for.

use std::sync::Arc;

use mobilenet_peers::{Error, Options, serve};
use rten::{ModelOptions, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

fn main() -> Result<(), Error> {
    let Options { model, images, threads } = Options::from_args()?;
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(model.join("model.onnx"))?;
    let input = NdTensor::from_data(images.shape, images.nchw);
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    serve("0.27.0", || {
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let logits: NdTensor<f32, 2> = model.run_one(input.view().into(), Some(options))?.try_into()?;
        Ok(logits.into_data())
    })
}
