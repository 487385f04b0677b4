"""Photos to labels with OpenCV and LiteRT: two threads, each decodes, resizes and infers on its own."""

import importlib.metadata
import threading

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from protocol import serve_photos


def load(folder, threads):
    cv2.setNumThreads(1)
    local = threading.local()

    def interpreter():
        if not hasattr(local, "interpreter"):
            local.interpreter = Interpreter(str(folder / "model.tflite"), num_threads=1)
            local.interpreter.allocate_tensors()
        return local.interpreter

    def classify(path):
        runtime = interpreter()
        given, wanted = runtime.get_input_details()[0], runtime.get_output_details()[0]
        height, width = given["shape"][1:3]
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        photo = cv2.resize(cv2.imread(str(path), flags), (int(width), int(height)))
        runtime.set_tensor(given["index"], photo[None].astype(np.float32) * np.float32(2 / 255) - 1)
        runtime.invoke()
        return int(runtime.get_tensor(wanted["index"]).argmax())

    return f"{cv2.__version__} + {importlib.metadata.version('ai-edge-litert')}", classify


serve_photos(load)
