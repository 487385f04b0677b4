"""usage: saved_model_check.py MODEL IMAGES EXPECTED TOLERANCE: TensorFlow 2 loads it and agrees.

A process of its own, because check.py runs TensorFlow 1's way.
"""

import sys

import numpy as np
import tensorflow as tf


def main() -> int:
    model, images, expected, tolerance = sys.argv[1:]
    loaded = tf.saved_model.load(model)
    answers = loaded.signatures["serving_default"](images=tf.constant(np.load(images)))
    answer, wanted = answers["default"].numpy(), np.load(expected)
    difference = float(np.abs(answer - wanted).max()) if answer.shape == wanted.shape else float("inf")
    variables = len(loaded.variables)
    print(f"{variables} variables, largest difference {difference:.1e}")
    return difference > float(tolerance) or variables < 100


if __name__ == "__main__":
    sys.exit(main())
