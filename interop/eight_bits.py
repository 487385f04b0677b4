"""Networks in 8 bits in LiteRT and in ours: quantised by us, and others' files. Called by check.py's parts.

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
    quantize = [mobilenet, "quantize", "--offline", "--module", module, "--calibration", photos, "--out", out]
    ask(report, f"{name}: 8 bits in LiteRT", quantize, embed(mobilenet, out, given, answers, answer),
        [runtimes, HERE / "litert_int8_check.py", "uint8", "2", str(ANY), out, given, answers])


def check_files(report, mobilenet, runtimes: str, shared: pathlib.Path, scratch: pathlib.Path) -> None:
    """TensorFlow's file of int8 and Google's of uint8, on the photos of the reference data."""
    scratch.mkdir()
    photos = sorted(path for path in (shared / "images").iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    for dtype, width, size, file in FILES:
        given, answers = scratch / f"{size}.npy", scratch / "answers.npy"
        np.save(given, np.stack([pixels(photo, size) for photo in photos]))
        model = shared / "formats" / file
        ask(report, f"{model.name} in LiteRT", embed(mobilenet, model, given, answers, PROBABILITIES),
            [runtimes, HERE / "litert_int8_check.py", dtype, str(width), "1", model, given, answers])


# Steps that LiteRT's optimised kernels may be away: they are not its reference kernels, and networks differ.
ANY = 255
# Of the reference data: type of inputs and outputs, how wide their range is (Google's bytes are pixels, of which 128 is
# 0), image size, file.
FILES = (
    ("int8", 2, 192, "mobilenet_v1_025_192/mobilenet_v1_0.25_192_int8.tflite"),
    ("uint8", 255 / 128, 192, "quant/mobilenet_v1_0_25_192_quant.tflite"),
    ("uint8", 255 / 128, 160, "quant/mobilenet_v1_0_5_160_quant.tflite"),
)


def pixels(photo: pathlib.Path, size: int) -> np.ndarray:
    """Whole pixels in [0, 1], resized, whichever way."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        image = tf.io.decode_jpeg(photo.read_bytes(), channels=3)
        return session.run(tf.round(tf.image.resize(image, [size, size])) * np.float32(1 / 255))


def embed(mobilenet, model: pathlib.Path, images: pathlib.Path, out: pathlib.Path, answer) -> list:
    signature, output = answer
    asked = ["--module", model, "--signature", signature, "--output", output]
    return [mobilenet, "embed", "--offline", *asked, images, "--out", out]


def ask(report, what: str, *commands: list) -> None:
    """One command after the other; the last one's answer is told."""
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            break
    detail = (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()[-300:]
    report.check(what, done.returncode == 0, detail)
