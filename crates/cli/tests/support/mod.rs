//! Runs the real binary on a tiny module and photos made here: no network, no reference data.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use mobilenet::builder::MobilenetV1;
use mobilenet_formats::archive::{self, Compression};

/// What a run of the binary gave.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// stdout as one JSON value a line.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A folder with a module, photos and other files; gone when dropped.
pub struct World(PathBuf);

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The classes of the tiny module.
pub const LABELS: [&str; 5] = ["background", "tabby, tabby cat", "dog", "crane", "crane"];

impl World {
    pub fn new() -> World {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mobilenet-cli-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let world = World(folder);
        world.write("module.tar", &tiny_module());
        for (name, shade) in [("a.bmp", 20), ("b.bmp", 120), ("c.bmp", 220)] {
            world.write(name, &bmp(40, 30, shade));
        }
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs `mobilenet` in the folder, with the tiny module unless the arguments name another.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    pub fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self.command(arguments).spawn().unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mobilenet"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env("MOBILENET_MODULE", "module.tar")
            .env("MOBILENET_OFFLINE", "1")
            .env("TFHUB_CACHE_DIR", self.path("cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn tiny_module() -> Vec<u8> {
    let network = MobilenetV1 { classes: Some(5), ..MobilenetV1::new(0.25, [32, 32]) };
    let mut module = network.module(|variable| variable.initial_tensor(20_260_101)).unwrap();
    module.saved_model_mut().set_file("assets/labels.txt", LABELS.join("\n"));
    archive::write(&module.to_files().unwrap(), Compression::None).unwrap()
}

/// A 24-bit BMP with a gradient.
pub fn bmp(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let row = (width * 3).next_multiple_of(4);
    let mut file = b"BM".to_vec();
    for field in [54 + row * height, 0, 54, 40, width, height] {
        file.extend_from_slice(&field.to_le_bytes());
    }
    file.extend_from_slice(&[1, 0, 24, 0]);
    file.extend_from_slice(&[0; 24]);
    for y in 0..height {
        let pixel = |x: u32| [shade, (x * 6) as u8, (y * 8) as u8];
        let pixels = (0..width).flat_map(pixel).chain(std::iter::repeat(0));
        file.extend(pixels.take(row as usize));
    }
    file
}

/// A float32 `.npy` of prepared images, `[count, 32, 32, 3]`.
pub fn npy(count: usize, value: impl Fn(usize) -> f32) -> Vec<u8> {
    let values: Vec<f32> = (0..count * 32 * 32 * 3).map(value).collect();
    let tensor = mobilenet::Tensor::new([count, 32, 32, 3], values).unwrap();
    mobilenet::npy::write(&tensor).unwrap()
}

/// Reads a `.npy` of float32.
pub fn read_npy(path: &Path) -> mobilenet::Tensor {
    let bytes = std::fs::read(path).unwrap();
    mobilenet::npy::read(&bytes, &mobilenet::Limits::default()).unwrap()
}
