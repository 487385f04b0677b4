"""Our files of other formats, in the programs those formats belong to. Called by check.py.

A hub module is converted by `mobilenet convert`, and each result answers the same images as the module
does in TensorFlow: a frozen graph and a SavedModel in TensorFlow, a checkpoint through
`tf.train.load_checkpoint`, safetensors through the package, NumPy's archive through NumPy. ONNX and
TFLite have an environment of their own: onnx_check.py, litert_check.py, mediapipe_check.py.
"""

import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent
# float32 against float32, constants folded in another order.
TOLERANCE = 1e-4
# Arrays of a `.npz` that are no variables.
PREPROCESSING = {"image_size", "image_mean", "image_std"}


def check(report, mobilenet, name: str, module: pathlib.Path, images: np.ndarray, expected: np.ndarray) -> None:
    """Every format from `module`; `expected` is what it answers to `images`."""
    scratch = module.with_name(module.name + "_formats")
    scratch.mkdir()
    given, wanted = scratch / "images.npy", scratch / "expected.npy"
    np.save(given, images)
    np.save(wanted, expected)

    def convert(to: str, *flags: str) -> pathlib.Path | None:
        out = scratch / to
        command = [mobilenet, "convert", "--offline", module, out, *flags]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            report.check(f"{name}: convert {to}", False, done.stderr.strip()[-300:])
            return None
        return out

    def close(what: str, answer: np.ndarray) -> None:
        difference = float(np.abs(answer - expected).max()) if answer.shape == expected.shape else float("inf")
        report.check(f"{name}: {what}", difference <= TOLERANCE, f"largest difference {difference:.1e}")

    if out := convert("frozen.pb"):
        close("frozen graph in TensorFlow", run_frozen(out, images))

    def ask(what: str, python: str, script: str, out: pathlib.Path) -> None:
        command = [python, HERE / script, out, given, wanted, str(TOLERANCE)]
        done = subprocess.run(command, capture_output=True, text=True)
        detail = (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()[-300:]
        report.check(f"{name}: {what}", done.returncode == 0, detail)

    if out := convert("saved", "--to", "saved-model"):
        ask("SavedModel in TensorFlow 2", sys.executable, "saved_model_check.py", out)
    variables = None
    if out := convert("model.ckpt"):
        reader = tf.train.load_checkpoint(str(out))
        variables = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
        report.check(f"{name}: checkpoint", len(variables) > 100, f"{len(variables)} variables")
    for what, read in (("model.safetensors", load_file), ("model.npz", lambda path: dict(np.load(path)))):
        if out := convert(what):
            stored = {key: value for key, value in read(out).items() if key not in PREPROCESSING}
            same = variables is not None and stored.keys() == variables.keys()
            same = same and all(np.array_equal(stored[key], variables[key]) for key in stored)
            report.check(f"{name}: {what}", same, f"{len(stored)} tensors, as in the checkpoint")
    python = subprocess.run(
        [sys.executable, HERE.parent / "scripts/venv.py", HERE / "requirements-runtimes.txt"],
        capture_output=True, text=True,
    )
    if python.returncode:
        return print(f"skipped ONNX and TFLite: {python.stderr.strip()[-200:]}")
    runtimes = python.stdout.strip()
    if out := convert("model.onnx"):
        ask("ONNX in onnxruntime", runtimes, "onnx_check.py", out)
    check_quantised(report, mobilenet, name, module, (given, runtimes), scratch)
    if out := convert("model.tflite"):
        ask("TFLite in LiteRT", runtimes, "litert_check.py", out)
        photo = (images[0] * 255).round().astype(np.uint8)
        logits = run_frozen(scratch / "frozen.pb", photo[None] * np.float32(1 / 255))[0].astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        np.save(scratch / "photo.npy", photo)
        np.save(scratch / "probabilities.npy", probabilities / probabilities.sum())
        command = [runtimes, HERE / "mediapipe_check.py", out, scratch / "photo.npy", scratch / "probabilities.npy"]
        done = subprocess.run(command, capture_output=True, text=True)
        detail = (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()[-300:]
        report.check(f"{name}: TFLite in MediaPipe", done.returncode == 0, detail)


def check_quantised(report, mobilenet, name, module, asked, scratch: pathlib.Path) -> None:
    """The module in 8 bits, calibrated on the images themselves, in LiteRT."""
    (given, runtimes), out, answers = asked, scratch / "int8.tflite", scratch / "int8.npy"
    photos = scratch / "photos"
    photos.mkdir()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        pixels = tf.compat.v1.placeholder(tf.uint8, [None, None, 3])
        png = tf.io.encode_png(pixels)
        for index, image in enumerate(np.load(given)):
            bytes_ = session.run(png, {pixels: (image * 255).round().astype(np.uint8)})
            (photos / f"n01440764_{index}.png").write_bytes(bytes_)
    steps = (
        [mobilenet, "quantize", "--offline", "--module", module, "--calibration", photos, "--out", out],
        [mobilenet, "embed", "--offline", "--module", out, "--signature", "image_classification",
         "--output", "MobilenetV1/Predictions", given, "--out", answers],
        [runtimes, HERE / "litert_int8_check.py", out, given, answers],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            break
    detail = (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()[-300:]
    report.check(f"{name}: TFLite of 8 bits in LiteRT", done.returncode == 0, detail)


def run_frozen(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """The only answer of a frozen graph to its only placeholder."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    used = {name.split(":")[0] for node in graph_def.node for name in node.input}
    (output,) = [node.name for node in graph_def.node if node.name not in used]
    (placeholder,) = [node.name for node in graph_def.node if node.op == "Placeholder"]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(f"{output}:0", {f"{placeholder}:0": images})
