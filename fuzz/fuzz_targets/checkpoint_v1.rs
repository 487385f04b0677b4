//! Checkpoints of version 1: every tensor of a table that opens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mobilenet_formats::Limits;
use mobilenet_formats::tensorflow::checkpoint::CheckpointV1;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { tensor_bytes: 1 << 20, table_block_bytes: 1 << 20, ..Limits::default() };
    let Ok(checkpoint) = CheckpointV1::open(bytes, &limits) else { return };
    for name in checkpoint.names() {
        let _ = checkpoint.read(name);
    }
});
