"""usage: litert_int8_check.py MODEL IMAGES ANSWERS: LiteRT runs our TFLite file of 8 bits and gives its bytes.

IMAGES in [0, 1], ANSWERS what `mobilenet embed` gives for them with the same file: probabilities, or features.
LiteRT's reference kernels must give the same bytes, of which there must be enough for that to say something;
XNNPACK, its default, rounds in its own way and is only told. The file takes and gives uint8.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# Different values among all answers, at least.
VALUES = 8


def main() -> int:
    model, images, answers = sys.argv[1:]
    reference = steps_apart(OpResolverType.BUILTIN_REF, model, np.load(images), np.load(answers))
    default = steps_apart(OpResolverType.AUTO, model, np.load(images), np.load(answers))
    values = len(np.unique(np.load(answers)))
    print(f"reference kernels: {reference} steps apart, default kernels: {default}; {values} different values")
    return reference != 0 or values < VALUES


def steps_apart(resolver, model: str, images: np.ndarray, answers: np.ndarray) -> int:
    """The largest difference of an output byte."""
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (step, offset) = entry["quantization"], end["quantization"]
    if {entry["dtype"], end["dtype"]} != {np.uint8}:
        sys.exit(f"takes {entry['dtype'].__name__} and gives {end['dtype'].__name__}, not uint8")
    kind = np.iinfo(entry["dtype"])
    worst = 0
    for image, ours in zip(images, answers):
        value = (image[None] * np.float32(2) - np.float32(1)) / np.float32(scale)
        # Halves away from zero.
        value = np.trunc(value + np.copysign(np.float32(0.49999997), value)) + zero
        interpreter.set_tensor(entry["index"], value.clip(kind.min, kind.max).astype(entry["dtype"]))
        interpreter.invoke()
        theirs = interpreter.get_tensor(end["index"])[0].astype(np.int64)
        worst = max(worst, int(np.abs(np.round(ours / step).astype(np.int64) + offset - theirs).max()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
