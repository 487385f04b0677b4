"""usage: onnx_check.py MODEL IMAGES EXPECTED TOLERANCE: onnx.checker accepts it, onnxruntime agrees."""

import sys

import numpy as np
import onnx
import onnxruntime


def main() -> int:
    model, images, expected, tolerance = sys.argv[1:]
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"images": np.load(images)})
    wanted = np.load(expected)
    difference = float(np.abs(answer - wanted).max()) if answer.shape == wanted.shape else float("inf")
    print(f"checked, largest difference {difference:.1e}")
    return difference > float(tolerance)


if __name__ == "__main__":
    sys.exit(main())
