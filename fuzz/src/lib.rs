//! What the fuzz targets share: small limits, and several files in one input: given ones ([`files`]), or
//! some of a list ([`folder`]).
//!
//! Under `cargo fuzz` the checksums of tables, tensors and records are not compared, so that
//! mutations reach the code behind them.

use mobilenet::{Module, Tensor};
use mobilenet_formats::{Limits, MemoryFiles};

/// Limits that keep one run fast and small.
pub fn limits() -> Limits {
    Limits {
        message_fields: 100_000,
        tensor_bytes: 1 << 20,
        tensor_strings: 10_000,
        table_block_bytes: 1 << 20,
        table_key_bytes: 1 << 20,
        file_bytes: 1 << 20,
        archive_bytes: 4 << 20,
        record_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// The files named `paths` out of one input: each but the last with its length (u16, little-endian)
/// before it.
pub fn files(paths: &[&str], mut data: &[u8]) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    for (number, path) in paths.iter().enumerate() {
        let mut len = data.len();
        if let Some((head, rest)) =
            data.split_first_chunk::<2>().filter(|_| number + 1 < paths.len())
        {
            len = usize::from(u16::from_le_bytes(*head)).min(rest.len());
            data = rest;
        }
        let (file, rest) = data.split_at(len);
        files.insert(*path, file);
        data = rest;
    }
    files
}

/// The names of files in a [`folder`], one a line; seeds are written by them as well.
const NAMES: &str = include_str!("../folder_names.txt");

/// The files of a model of several: their number (u8), then for each the place of its name in
/// `folder_names.txt` (u8), its length (u32, little-endian) and its bytes. Numbers beyond what there is
/// count from the start again, lengths end with the input.
pub fn folder(data: &[u8]) -> MemoryFiles {
    let names: Vec<&str> = NAMES.lines().collect();
    let mut files = MemoryFiles::default();
    let Some((&count, mut data)) = data.split_first() else { return files };
    for _ in 0..usize::from(count) % (names.len() + 1) {
        let Some((&name, rest)) = data.split_first() else { break };
        let Some((len, rest)) = rest.split_first_chunk::<4>() else { break };
        let (file, rest) = rest.split_at((u32::from_le_bytes(*len) as usize).min(rest.len()));
        files.insert(names[usize::from(name) % names.len()], file);
        data = rest;
    }
    files
}

/// Sides of images, at most, and bytes of values on their way: one run takes little time.
const SIDE: usize = 32;
const ARENA_BYTES: usize = 1 << 20;

/// Reads a model, and has it answer one grey image if it is small.
pub fn load(files: MemoryFiles, main: Option<&str>) {
    let options = Module::options().limits(limits()).threads(1).max_arena_bytes(ARENA_BYTES);
    let Ok(module) = options.load_files(files, main) else { return };
    let _ = run(&module);
    let _ = module.own_labels();
    for (name, shape) in module.variables() {
        if let Ok(value) = module.variable(&name) {
            assert_eq!(value.shape(), shape);
        }
    }
}

/// Answers one grey image, or says why not.
fn run(module: &Module) -> mobilenet::Result<()> {
    let (height, width) = module.expected_image_size()?;
    if height.max(width) > SIDE {
        return Ok(());
    }
    let image = Tensor::new([1, height, width, 3], vec![0.5f32; height * width * 3])?;
    let signature = module.signature(module.first_signature()?)?;
    for (key, value) in module.call_signature(&signature.name, [("images", &image)])? {
        let port = signature.output(&key).expect("an output of the signature");
        assert!(port.admits(value.shape()), "{key}: {:?}, not {:?}", value.shape(), port.shape);
    }
    Ok(())
}
