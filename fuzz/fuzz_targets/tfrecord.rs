//! Record files, the `tf.Example`s in them, and the state file beside checkpoints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mobilenet_formats::Limits;
use mobilenet_formats::tensorflow::checkpoint;
use mobilenet_formats::tfrecord::RecordReader;
use mobilenet_formats::tfrecord::example::Example;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { record_bytes: 1 << 16, ..Limits::default() };
    let _ = checkpoint::latest(bytes);
    let _ = Example::decode_record(bytes.to_vec(), &limits);
    let Ok(mut records) = RecordReader::new(bytes, &limits) else { return };
    while let Ok(Some(record)) = records.next_record() {
        let _ = Example::decode_record(record.to_vec(), &limits);
    }
});
