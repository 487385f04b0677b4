"""usage: saved_model_check.py MODEL IMAGES EXPECTED TOLERANCE: TensorFlow 2 loads it and agrees.

A process of its own, because check.py runs TensorFlow 1's way.
"""

import sys

import numpy as np
import tensorflow as tf


def main() -> int:
    model, images, expected, tolerance = sys.argv[1:]
    answers = tf.saved_model.load(model).signatures["serving_default"](images=tf.constant(np.load(images)))
    answer, wanted = answers["default"].numpy(), np.load(expected)
    difference = float(np.abs(answer - wanted).max()) if answer.shape == wanted.shape else float("inf")
    print(f"largest difference {difference:.1e}")
    return difference > float(tolerance)


if __name__ == "__main__":
    sys.exit(main())
