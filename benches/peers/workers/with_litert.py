"""LiteRT (once TensorFlow Lite) with its default XNNPACK delegate."""

import importlib.metadata

from ai_edge_litert.interpreter import Interpreter
from protocol import serve


def load(folder, images, threads):
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=threads)
    given = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(given, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given, images)
    wanted = interpreter.get_output_details()[0]["index"]
    version = importlib.metadata.version("ai-edge-litert")
    return version, interpreter.invoke, lambda: interpreter.get_tensor(wanted)


serve(load)
