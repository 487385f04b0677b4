"""usage: litert_check.py MODEL IMAGES EXPECTED TOLERANCE: LiteRT runs our TFLite file and agrees.

IMAGES in [0, 1], EXPECTED logits: the file itself wants [-1, 1] and gives probabilities.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def main() -> int:
    model, images, expected, tolerance = sys.argv[1:]
    wanted = np.load(expected).astype(np.float64)
    wanted = np.exp(wanted - wanted.max(-1, keepdims=True))
    wanted /= wanted.sum(-1, keepdims=True)
    worst = 0.0
    for resolver in (OpResolverType.BUILTIN_REF, OpResolverType.AUTO):
        interpreter = Interpreter(model, experimental_op_resolver_type=resolver)
        runner = interpreter.get_signature_runner("serving_default")
        for image, row in zip(np.load(images), wanted):
            answer = runner(images=image[None] * np.float32(2) - np.float32(1))["scores"][0]
            worst = max(worst, float(np.abs(answer - row).max()))
    print(f"reference and default kernels, largest difference of probabilities {worst:.1e}")
    return worst > float(tolerance)


if __name__ == "__main__":
    sys.exit(main())
