"""What a worker of the training comparison does: make one step of training, then time it on demand.

Arguments: `--batch N --threads N --variant NAME`. On stdout, one JSON value a line: first
`{"version": ..., "parameters": ...}` once two steps were taken, then for each line `N` on stdin N
times of one step in microseconds; at the end the peak of resident memory, `{"peak_mib": ...}`.
"""

import argparse
import json
import resource
import sys
import time

SIZE, CLASSES = 192, 1001
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-4, 0.9, 4e-5
# Output channels at depth multiplier 0.25 and stride of each depthwise separable block.
BLOCKS = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]


def serve(load) -> None:
    """`load(batch, threads, variant)` gives `(version, parameters, step)`; `step()` takes one step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--variant", default="")
    options = parser.parse_args()
    answer, sys.stdout = sys.stdout, sys.stderr  # what the runtime prints is not an answer
    version, parameters, step = load(options.batch, options.threads, options.variant)
    step(), step()
    tell(answer, {"version": version, "parameters": parameters})
    for line in sys.stdin:
        tell(answer, [timed(step) for _ in range(int(line))])
    tell(answer, {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def timed(step) -> float:
    start = time.perf_counter_ns()
    step()
    return (time.perf_counter_ns() - start) / 1000


def tell(answer, value) -> None:
    print(json.dumps(value), file=answer, flush=True)
