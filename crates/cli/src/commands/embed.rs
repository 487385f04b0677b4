//! `mobilenet embed`: feature vectors, or any other output of the module, for photos and arrays.
//! Each thread makes its own rows; a [`Table`] writes them in input order.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use mobilenet::{EmbedWorker, Embedder, Tensor, npy, pipeline};

use crate::args::{InputArgs, ModelArgs, PixelArgs};
use crate::failure::{Failure, Outcome, Status, chain};
use crate::inputs::{Kind, Unreadable};
use crate::interrupt::Interrupt;
use crate::output::vectors::{self, Rows, Table};
use crate::progress::Progress;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet embed *.jpg --out vectors.npy
  mobilenet embed -r photos --out vectors.jsonl --l2-normalize
  mobilenet embed -r photos --out vectors.npy --paths paths.txt
  mobilenet embed images.npy --signature image_classification --out logits.npy
  mobilenet embed cat.jpg --output MobilenetV1/Conv2d_3_pointwise --out activations.npy
  mobilenet embed cat.jpg --out - --format csv

Row i of a .npy belongs to the i-th input that could be read (--paths lists them); an array
[n, h, w, 3] gives n rows. `mobilenet inspect` lists signatures and outputs.";

/// Turn photos into feature vectors
///
/// Inputs are images, or .npy arrays [n, height, width, 3]: float32 with values in [0, 1], or
/// uint8. The result has one row for each image: float32 [n, …].
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Embed {
    #[command(flatten)]
    inputs: InputArgs,

    #[command(flatten)]
    out: OutArgs,

    /// The signature to call [default: image_feature_vector]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    signature: Option<String>,

    /// The output to take: any that the signature lists [default: default]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    output: Option<String>,

    /// Scale each row to Euclidean length 1
    #[arg(long, help_heading = "Output")]
    l2_normalize: bool,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    pixels: PixelArgs,
}

/// Where rows go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
struct OutArgs {
    /// Write here; the ending decides the format. - is stdout
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// The format, where the ending does not say it
    #[arg(long, value_name = "FORMAT")]
    format: Option<vectors::Format>,

    /// Also write the path of each row to this file, one a line
    #[arg(long, value_name = "FILE")]
    paths: Option<PathBuf>,
}

impl Embed {
    pub(crate) fn run(self) -> Outcome {
        let format = vectors::Format::choose(self.out.format, &self.out.out)?;
        let embedder = self.embedder()?;
        let inputs = self.inputs.stream(Kind::ImagesAndArrays);
        let interrupt = Interrupt::watch();
        let mut run = Run {
            table: Table::create(&self.out.out, self.out.paths.as_deref(), format)?,
            progress: Progress::new(inputs.total(), self.inputs.quiet, self.to_terminal()),
            failed: 0,
            broken: None,
        };

        let work = || {
            let mut worker = embedder.worker();
            let shape = embedder.shape();
            move |input| embed(input, &mut worker, shape)
        };
        let threads = embedder.module().threads();
        pipeline::ordered(interrupt.until(inputs), threads, work, |done| run.take(&done));
        run.end(&interrupt, embedder.shape())
    }

    fn to_terminal(&self) -> bool {
        self.out.out.as_os_str() == "-" && terminal::stdout_is_terminal()
    }

    fn embedder(&self) -> Result<Embedder, Failure> {
        let module = self.model.open_for(&self.pixels)?;
        let mut options = Embedder::options()
            .preprocessing(self.pixels.preprocessing(&module)?)
            .l2_normalize(self.l2_normalize);
        if let Some(name) = &self.signature {
            options = options.signature(name);
        }
        if let Some(name) = &self.output {
            options = options.output(name);
        }
        Ok(options.build(module)?)
    }
}

/// What became of one input.
struct Done {
    path: PathBuf,
    result: Result<Tensor, String>,
}

fn embed(
    input: Result<PathBuf, Unreadable>,
    worker: &mut EmbedWorker,
    shape: &[usize],
) -> Done {
    match input {
        Ok(path) if is_array(&path) => {
            let result = embed_array(&path, worker);
            Done { path, result }
        }
        Ok(path) => {
            let result = embed_image(&path, worker, shape);
            Done { path, result }
        }
        Err(Unreadable { path, message }) => Done { path, result: Err(message) },
    }
}

fn is_array(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy"))
}

/// One row.
fn embed_image(path: &Path, worker: &mut EmbedWorker, shape: &[usize]) -> Result<Tensor, String> {
    let values = worker.embed_path(path).map_err(|e| chain(&e))?;
    Tensor::new([&[1], shape].concat(), values).map_err(|e| chain(&e))
}

fn embed_array(path: &Path, worker: &mut EmbedWorker) -> Result<Tensor, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let images = npy::read(&bytes, &mobilenet::Limits::default()).map_err(|e| chain(&e))?;
    drop(bytes);
    worker.embed_tensor(&images).map_err(|e| chain(&e))
}

/// The state of a run on the main thread.
struct Run {
    table: Table,
    progress: Progress,
    failed: usize,
    broken: Option<Failure>,
}

impl Run {
    fn take(&mut self, done: &Done) -> ControlFlow<()> {
        let written = match &done.result {
            Ok(tensor) => self.write(&done.path, tensor),
            Err(error) => Ok(Err(error.clone())),
        };
        match written {
            Ok(Ok(())) => self.progress.step(false),
            Ok(Err(error)) => {
                self.failed += 1;
                let path = done.path.display();
                self.progress.beside(|| terminal::error(format_args!("{path}: {error}")));
                self.progress.step(true);
            }
            Err(failure) => {
                self.broken = Some(failure);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// The inner error is this input's, the outer one ends the run.
    fn write(&mut self, path: &Path, tensor: &Tensor) -> Result<Result<(), String>, Failure> {
        match Rows::of(path, tensor) {
            Some(rows) => self.table.add(&rows),
            None => Ok(Err("the output is no float32 tensor with a row for each image".into())),
        }
    }

    fn end(self, interrupt: &Interrupt, row_shape: &[usize]) -> Outcome {
        self.progress.finish();
        if let Some(failure) = self.broken {
            return Err(failure);
        }
        let rows = self.table.finish(row_shape)?;
        if interrupt.pressed() {
            terminal::note(format_args!("stopped; {rows} rows were written"));
            return Ok(Status::Interrupted);
        }
        if self.failed > 0 && self.progress.done() > 1 {
            let done = self.progress.done();
            terminal::warning(format_args!("{} of {done} inputs failed and have no row", self.failed));
        }
        Ok(Status::of_failures(self.failed))
    }
}
