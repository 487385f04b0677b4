"""OpenVINO on the CPU, one stream; `--precision f32` keeps float32 (it would choose bfloat16 where it can), and `bf16` is an error where it cannot."""

import openvino
from protocol import arguments, nchw, serve


def load(folder, images, threads):
    core = openvino.Core()
    model = core.read_model(folder / "model.onnx")
    images = nchw(images)
    model.reshape(list(images.shape))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": arguments().precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(model, "CPU", settings)
    if (precision := compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()) != arguments().precision:
        raise SystemExit(f"computes in {precision}")
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(images))
    call = lambda: request.infer(share_outputs=True)
    return openvino.__version__.split("-")[0], call, lambda: request.get_output_tensor().data.copy()


serve(load)
