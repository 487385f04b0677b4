"""usage: litert_int8_check.py TYPE RANGE STEPS MODEL IMAGES ANSWERS: LiteRT runs a TFLite file of 8 bits and gives our bytes.

IMAGES in [0, 1], which the network wants from -1 on, RANGE wide; ANSWERS what `mobilenet embed` gives for them with the same file: probabilities, or features.
LiteRT's reference kernels must give the same bytes, of which there must be enough for that to say something,
and its optimised kernels bytes at most STEPS away. XNNPACK, another library, to which it leaves networks
unless told otherwise, rounds in its own way and is only told. The file takes and gives TYPE, uint8 or int8.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# Different values among all answers, at least.
VALUES = 8


def main() -> int:
    dtype, width, allowed, model, images, answers = sys.argv[1:]
    images, answers = np.load(images), np.load(answers)
    steps = lambda kernels: steps_apart(kernels, np.dtype(dtype), np.float32(width), model, images, answers)
    reference, optimised = steps(OpResolverType.BUILTIN_REF), steps(OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    values = len(np.unique(answers))
    apart = f"reference kernels: {reference} steps apart, optimised: {optimised}, XNNPACK: {steps(OpResolverType.AUTO)}"
    print(f"{apart}; {len(images)} images, {values} different values")
    return reference != 0 or optimised > int(allowed) or values < VALUES


def steps_apart(kernels, dtype, width, model: str, images: np.ndarray, answers: np.ndarray) -> int:
    """The largest difference of an output byte."""
    interpreter = Interpreter(model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (step, offset) = entry["quantization"], end["quantization"]
    if {np.dtype(entry["dtype"]), np.dtype(end["dtype"])} != {dtype}:
        sys.exit(f"takes {entry['dtype'].__name__} and gives {end['dtype'].__name__}, not {dtype}")
    kind = np.iinfo(dtype)
    worst = 0
    for image, ours in zip(images, answers):
        value = (image[None] * width - np.float32(1)) / np.float32(scale)
        # Halves away from zero.
        value = np.trunc(value + np.copysign(np.float32(0.49999997), value)) + zero
        interpreter.set_tensor(entry["index"], value.clip(kind.min, kind.max).astype(entry["dtype"]))
        interpreter.invoke()
        theirs = interpreter.get_tensor(end["index"])[0].astype(np.int64)
        worst = max(worst, int(np.abs(np.round(ours / step).astype(np.int64) + offset - theirs).max()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
