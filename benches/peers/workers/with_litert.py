"""LiteRT (once TensorFlow Lite) with its default XNNPACK delegate."""

import importlib.metadata

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from protocol import serve


def load(folder, images, threads):
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=threads)
    given = interpreter.get_input_details()[0]
    if given["dtype"] == np.int8:
        return quantized(interpreter, given, images)
    given = given["index"]
    interpreter.resize_tensor_input(given, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given, images)
    wanted = interpreter.get_output_details()[0]["index"]
    version = importlib.metadata.version("ai-edge-litert")
    return version, interpreter.invoke, lambda: interpreter.get_tensor(wanted)


def quantized(interpreter, given, images):
    """A network of int8, one image a call of the interpreter: its batch cannot be changed."""
    scale, zero = given["quantization"]
    integers = np.clip(np.round(images / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    interpreter.allocate_tensors()
    wanted, found = interpreter.get_output_details()[0]["index"], []

    def call():
        found.clear()
        for image in integers:
            interpreter.set_tensor(given["index"], image[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(wanted))

    version = importlib.metadata.version("ai-edge-litert")
    if len(integers) == 1:
        interpreter.set_tensor(given["index"], integers)
        return version, interpreter.invoke, lambda: interpreter.get_tensor(wanted)
    return version, call, lambda: np.concatenate(found)


serve(load)
