"""usage: converted_files.py FOLDER: what tensorflowjs and tf2onnx make of the files of keras_files.py.

An environment of its own (requirements-converters.txt): the converters want other packages than
TensorFlow 1's hub modules do.
"""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    keras = folder / "softmax.h5"
    converter = [sys.executable, "-m", "tensorflowjs.converters.converter"]
    for command in (
        [*converter, "--input_format=keras", "--output_format=tfjs_layers_model", keras, folder / "tfjs_layers"],
        [*converter, "--input_format=keras", "--output_format=tfjs_graph_model", keras, folder / "tfjs_graph"],
        [*converter, "--input_format=keras", "--output_format=tfjs_layers_model", folder / "no_top.h5", folder / "tfjs_no_top"],
        [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder / "exported", "--output", folder / "tf2onnx.onnx"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print((done.stdout + done.stderr).strip()[-600:])
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
