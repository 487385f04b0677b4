"""ONNX Runtime, CPU provider, all graph optimisations, input and output bound once."""

import onnxruntime
from protocol import nchw, serve


def load(folder, images, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_cpu_input("images", nchw(images))
    binding.bind_output("logits")
    call = lambda: session.run_with_iobinding(binding)
    return onnxruntime.__version__, call, lambda: binding.copy_outputs_to_cpu()[0]


serve(load)
