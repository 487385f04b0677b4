//! The worker protocol of `../workers/protocol.py`, for runtimes written in Rust.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Whatever went wrong; a worker reports it and ends.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a worker is asked to load.
pub struct Options {
    /// The folder with `model.onnx`.
    pub model: PathBuf,
    /// The images.
    pub images: Images,
    /// How many threads may compute.
    pub threads: usize,
}

/// Images as float32 in [-1, 1], channel by channel.
pub struct Images {
    /// `[n, 3, h, w]`.
    pub shape: [usize; 4],
    /// One value each.
    pub nchw: Vec<f32>,
}

/// Answers stdin with `call`, which computes all images once and returns their logits one after
/// another.
pub fn serve(version: &str, mut call: impl FnMut() -> Result<Vec<f32>, Error>) -> Result<(), Error> {
    let mut answers = std::io::stdout().lock();
    writeln!(answers, "{}", serde_json::json!({ "version": version }))?;
    for line in std::io::stdin().lock().lines() {
        let answer = match line?.strip_prefix("run ") {
            Some(count) => serde_json::json!(times(&mut call, count.parse()?)?),
            None => serde_json::json!(call()?),
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

fn times(call: &mut impl FnMut() -> Result<Vec<f32>, Error>, count: usize) -> Result<Vec<f64>, Error> {
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        call()?;
        found.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(found)
}

impl Options {
    /// Reads `--model DIR --images F.npy --threads N`.
    pub fn from_args() -> Result<Self, Error> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let value = |flag: &str| -> Result<&str, Error> {
            let at = args.iter().position(|arg| arg == flag).ok_or(format!("no {flag}"))?;
            Ok(args.get(at + 1).ok_or(format!("no value for {flag}"))?)
        };
        Ok(Self {
            model: value("--model")?.into(),
            images: Images::read(&std::fs::read(value("--images")?)?)?,
            threads: value("--threads")?.parse()?,
        })
    }
}

impl Images {
    /// From an `.npy` file of `[n, h, w, 3]` little-endian float32.
    fn read(npy: &[u8]) -> Result<Self, Error> {
        let length = u16::from_le_bytes([npy[8], npy[9]]) as usize;
        let header = std::str::from_utf8(&npy[10..10 + length])?;
        let shape = header.split(['(', ')']).nth(1).ok_or("no shape in the header")?;
        let shape: Vec<usize> = shape.split(',').map(|d| d.trim().parse()).collect::<Result<_, _>>()?;
        let [n, h, w, c] = shape[..] else { return Err("not four dimensions".into()) };
        let nhwc: Vec<f32> =
            npy[10 + length..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let from = |i: usize| ((i / (c * h * w)) * h * w + i % (h * w)) * c + i / (h * w) % c;
        let nchw = (0..n * c * h * w).map(|i| nhwc[from(i)]).collect();
        Ok(Self { shape: [n, c, h, w], nchw })
    }
}
