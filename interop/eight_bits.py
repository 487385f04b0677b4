"""A network in 8 bits, quantised by us, in LiteRT and in ours. Called by check.py's parts.

`mobilenet quantize` calibrates on the images themselves; `mobilenet embed` runs the file it wrote, and
LiteRT's reference kernels must give the same bytes (litert_int8_check.py, in an environment of its own).
"""

import pathlib
import subprocess

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent


def write_photos(folder: pathlib.Path, images: np.ndarray) -> None:
    """Images in [0, 1] as PNG files that could be of ImageNet's first class."""
    folder.mkdir()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        pixels = tf.compat.v1.placeholder(tf.uint8, [None, None, 3])
        png = tf.io.encode_png(pixels)
        for index, image in enumerate(images):
            bytes_ = session.run(png, {pixels: (image * 255).round().astype(np.uint8)})
            (folder / f"n01440764_{index}.png").write_bytes(bytes_)


# What a network answers with, classes or not: signature and output.
PROBABILITIES = ("image_classification", "MobilenetV1/Predictions")
FEATURES = ("image_feature_vector", "default")


def check(
    report, mobilenet, runtimes: str, name: str, module, images: np.ndarray, scratch: pathlib.Path, answer=PROBABILITIES
) -> None:
    """Leaves `int8.tflite`, `images.npy` and our answers in `int8.npy` in `scratch`, which is made."""
    scratch.mkdir()
    given, photos, out, answers = (scratch / name for name in ("images.npy", "photos", "int8.tflite", "int8.npy"))
    np.save(given, images)
    write_photos(photos, images)
    steps = (
        [mobilenet, "quantize", "--offline", "--module", module, "--calibration", photos, "--out", out],
        [mobilenet, "embed", "--offline", "--module", out, "--signature", answer[0], "--output", answer[1], given,
         "--out", answers],
        [runtimes, HERE / "litert_int8_check.py", out, given, answers],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            break
    detail = (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()[-300:]
    report.check(f"{name}: 8 bits in LiteRT", done.returncode == 0, detail)
