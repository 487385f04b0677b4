"""What every peer's worker does, whatever it runs: load once, then answer questions on stdin.

Arguments: `--model DIR --images F.npy --threads N`; the images are `[n, h, w, 3]` float32 in [-1, 1].
On stdout, one JSON value a line: first `{"version": ...}` once the model is loaded, then for each
line read: `run N` -> N times of one call in microseconds; `outputs` -> the logits, `[n][1001]`.
"""

import argparse
import concurrent.futures
import json
import pathlib
import sys
import time

import numpy as np


def serve(load) -> None:
    """`load(folder, images, threads)` gives `(version, call, logits)`: `call()` computes all images
    once, from inputs to outputs in memory, and `logits()` gives `[n, 1001]` of the last call."""
    options = arguments()
    images = np.load(options.images)
    answer = sys.stdout
    sys.stdout = sys.stderr  # what the runtime prints is not an answer
    version, call, logits = load(options.model, images, options.threads)
    tell(answer, {"version": version})
    for line in sys.stdin:
        command, *counts = line.split()
        if command == "run":
            tell(answer, times(call, int(counts[0])))
        else:
            call()
            tell(answer, np.asarray(logits()).reshape(len(images), -1).tolist())


def times(call, count: int) -> list[float]:
    clock, found = time.perf_counter_ns, []
    for _ in range(count):
        start = clock()
        call()
        found.append((clock() - start) / 1000)
    return found


def tell(answer, value) -> None:
    print(json.dumps(value), file=answer, flush=True)


def nchw(images: np.ndarray) -> np.ndarray:
    """The same images channel by channel, for runtimes that want them so."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", default="f32")
    return parser.parse_args()


def serve_folder(load) -> None:
    """The same protocol from files: `--photos DIR` instead of images; a call classifies them all.

    `load(folder, threads, paths)` gives `(version, call)`; `call()` gives each photo's likeliest class.
    """
    parser = argparse.ArgumentParser()
    for name, kind in (("model", pathlib.Path), ("photos", pathlib.Path), ("threads", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    version, call = load(options.model, options.threads, sorted(options.photos.iterdir()))
    tell(sys.stdout, {"version": version})
    for line in sys.stdin:
        command, *counts = line.split()
        tell(sys.stdout, times(call, int(counts[0])) if command == "run" else call())


def serve_photos(load) -> None:
    """`serve_folder` for runtimes that take one photo: `load(folder, threads)` gives
    `(version, classify)`, and `classify(path)` runs on `threads` threads at a time, each of which may
    keep its own state."""

    def load_folder(folder, threads, paths):
        version, classify = load(folder, threads)
        pool = concurrent.futures.ThreadPoolExecutor(threads)
        return version, lambda: list(pool.map(classify, paths))

    serve_folder(load_folder)
