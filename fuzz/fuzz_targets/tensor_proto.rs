//! Constants: a tensor that is accepted fills its shape and survives a round trip.
#![no_main]

use mobilenet_formats::tensorflow::{decode_message, messages::TensorProto};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let Ok(proto) = decode_message::<TensorProto>(data.to_vec(), &limits) else { return };
    let Ok(tensor) = proto.to_tensor(&limits) else { return };
    assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
    let written = TensorProto::from(&tensor);
    let again = written.to_tensor(&limits).expect("what was written can be read");
    assert!(TensorProto::from(&again) == written || format!("{tensor:?}").contains("NaN"));
});
