//! Model files of every format through the importers: from bytes to a graph with signatures, and
//! once through the engine if the network is small. The same bytes under the names that folders are
//! known by.
#![no_main]

use mobilenet::{MemoryFiles, Module, Tensor};

/// Sides of images, at most, and bytes of values on their way: one run takes little time.
const SIDE: usize = 32;
const ARENA_BYTES: usize = 1 << 20;

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

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for name in ["model", "model.json"] {
        let mut files = MemoryFiles::default();
        files.insert(name, data);
        let options = Module::options().limits(mobilenet_fuzz::limits()).threads(1);
        let options = options.max_arena_bytes(ARENA_BYTES);
        let Ok(module) = options.load_files(files, Some(name)) else { continue };
        assert!(!module.signatures().is_empty());
        let _ = run(&module);
        let _ = module.own_labels();
        for (name, shape) in module.variables() {
            if let Ok(value) = module.variable(&name) {
                assert_eq!(value.shape(), shape);
            }
        }
    }
});
