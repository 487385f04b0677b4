"""Our files of other formats, in the programs those formats belong to. Called by check.py.

A hub module is converted by `mobilenet convert`, and each result answers the same images as the module
does in TensorFlow: a frozen graph and a SavedModel in TensorFlow, a checkpoint through
`tf.train.load_checkpoint`, safetensors through the package, NumPy's archive through NumPy, a hub module
made of another format by `tensorflow_hub`. ONNX and TFLite have an environment of their own:
onnx_check.py, litert_check.py, eight_bits.py, mediapipe_check.py.
"""

import pathlib
import subprocess
import sys

import eight_bits
import hub
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent
# float32 against float32, constants folded in another order.
TOLERANCE = 1e-4
# Half-precision weights: of the spread of the logits.
HALF_TOLERANCE = 2e-2
# MediaPipe resizes photos its own way; the photo has the network's size already.
PHOTO_TOLERANCE = 1e-3
# Its kernels for 8 bits are XNNPACK's, which round in their own way: of 256 steps, up to 12.
BYTES_TOLERANCE = 12 / 256
# Arrays of a `.npz` that are no variables.
PREPROCESSING = {"image_size", "image_mean", "image_std"}


def runtimes() -> tuple[str, str]:
    """The interpreter of the environment for ONNX and TFLite; why there is none."""
    made = subprocess.run(
        [sys.executable, HERE.parent / "scripts/venv.py", HERE / "requirements-runtimes.txt"],
        capture_output=True, text=True,
    )
    return made.stdout.strip(), "" if made.returncode == 0 else made.stderr.strip()[-200:] or "no environment"


def check(report, options, name: str, module: pathlib.Path, images: np.ndarray, made: dict) -> None:
    """Every format from `module`; `made` is what TensorFlow makes of the images, and its variables."""
    scratch = module.with_name(module.name + "_formats")
    scratch.mkdir()
    expected = made["outputs default"]
    given, wanted = scratch / "images.npy", scratch / "expected.npy"
    np.save(given, images)
    np.save(wanted, expected)

    def convert(to: str, *flags: str, of: pathlib.Path = module) -> pathlib.Path | None:
        out = scratch / to
        done = run([options.mobilenet, "convert", "--offline", of, out, *flags])
        if done.returncode:
            report.check(f"{name}: convert {to}", False, done.stderr.strip()[-300:])
            return None
        return out

    def close(what: str, answer: np.ndarray) -> None:
        difference = float(np.abs(answer - expected).max()) if answer.shape == expected.shape else float("inf")
        report.check(f"{name}: {what}", difference <= TOLERANCE, f"largest difference {difference:.1e}")

    def ask(what: str, python: str, script: str, *arguments) -> None:
        done = run([python, HERE / script, *map(str, arguments)])
        detail = (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()[-300:]
        report.check(f"{name}: {what}", done.returncode == 0, detail)

    if out := convert("frozen.pb"):
        close("frozen graph in TensorFlow", run_frozen(out, images))
    if out := convert("saved", "--to", "saved-model"):
        ask("SavedModel in TensorFlow 2", sys.executable, "saved_model_check.py", out, given, wanted, TOLERANCE)
    check_tensors(report, name, convert, made)
    for kind in ("model.safetensors", "frozen.pb"):
        if (scratch / kind).exists() and (out := convert(f"hub_of_{kind}", "--to", "hub", of=scratch / kind)):
            answer = hub.outputs(out, set(), "default", images)["outputs default"]
            close(f"{kind} as a module in tensorflow_hub", answer)
            if kind == "model.safetensors":
                before, after = hub.facts(module, {"train"}), hub.facts(out, {"train"})
                counted = ["variables", "trainable", "regularization_losses", "update_ops"]
                differing = [key for key in counted if before[key] != after[key]]
                report.check(f"{name}: {kind} as a module to train", not differing, f"differing: {differing}")
    python, missing = runtimes()
    if missing:
        return report.skip(f"{name}: ONNX and TFLite", missing)
    if out := convert("model.onnx"):
        ask("ONNX in onnxruntime", python, "onnx_check.py", out, given, wanted, TOLERANCE)
    eight_bits.check(report, options.mobilenet, python, name, module, images, scratch / "int8")
    eight_bits.check_files(report, options.mobilenet, python, options.shared, scratch / "files")
    photo = (images[0] * 255).round().astype(np.uint8)
    np.save(scratch / "photo.npy", photo)
    labels = options.shared / "labels/imagenet_1001.txt"
    if out := convert("model.tflite"):
        ask("TFLite in LiteRT", python, "litert_check.py", out, given, wanted, TOLERANCE)
        logits = run_frozen(scratch / "frozen.pb", photo[None] * np.float32(1 / 255))[0].astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        np.save(scratch / "probabilities.npy", probabilities / probabilities.sum())
        files = (out, scratch / "photo.npy", scratch / "probabilities.npy")
        ask("TFLite in MediaPipe", python, "mediapipe_check.py", *files, labels, PHOTO_TOLERANCE)
    check_half(report, options.mobilenet, name, convert, ask, (python, given, expected))
    # MediaPipe takes uint8 and float32, and no int8: our own file, TensorFlow's of int8 and Google's of uint8, both
    # rewritten.
    small = options.shared / "formats"
    files = {
        "quantize": scratch / "int8/int8.tflite",
        "int8": convert("from_int8.tflite", of=small / "mobilenet_v1_025_192/mobilenet_v1_0.25_192_int8.tflite"),
        "uint8": convert("from_uint8.tflite", of=small / "quant/mobilenet_v1_0_25_192_quant.tflite"),
    }
    pixels = scratch / "pixels.npy"
    np.save(pixels, photo[None] * np.float32(1 / 255))
    for what, out in files.items():
        if out is None or not out.exists():
            continue
        answers = scratch / f"{what}.npy"
        embed = [options.mobilenet, "embed", "--offline", "--module", out, "--signature", "image_classification"]
        done = run([*embed, "--output", "MobilenetV1/Predictions", pixels, "--out", answers])
        if done.returncode:
            report.check(f"{name}: photo in 8 bits, {what}", False, done.stderr.strip()[-300:])
            continue
        np.save(answers, np.load(answers)[0])
        asked = (out, scratch / "photo.npy", answers)
        ask(f"TFLite of 8 bits, {what}, in MediaPipe", python, "mediapipe_check.py", *asked, labels, BYTES_TOLERANCE)


def check_tensors(report, name: str, convert, made: dict) -> None:
    """Formats of tensors alone: the module's own variables, bit for bit, and no others."""
    own = {key.removeprefix("variables "): value for key, value in made.items() if key.startswith("variables ")}

    def from_checkpoint(path) -> dict:
        reader = tf.train.load_checkpoint(str(path))
        return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}

    reads = {
        "model.ckpt": from_checkpoint,
        "model.safetensors": load_file,
        "model.npz": lambda path: dict(np.load(path)),
    }
    for what, read in reads.items():
        if out := convert(what):
            stored = {key: value for key, value in read(out).items() if key not in PREPROCESSING}
            missing = sorted(set(stored) ^ set(own))
            unequal = [key for key in stored if key in own and not same(stored[key], own[key])]
            detail = f"{len(stored)} tensors, only one has {missing[:3]}, unequal {unequal[:3]}"
            report.check(f"{name}: {what}", bool(stored) and not missing and not unequal, detail)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)


def check_half(report, mobilenet, name: str, convert, ask, asked) -> None:
    """Half-precision weights: near the module's answers, and in LiteRT as in ours."""
    python, given, expected = asked
    if not (out := convert("half.tflite", "--to", "tflite-f16")):
        return
    answers = out.with_suffix(".npy")
    command = [mobilenet, "embed", "--offline", "--module", out, "--signature", "image_classification"]
    done = run([*command, "--output", "default", given, "--out", answers])
    if done.returncode:
        return report.check(f"{name}: TFLite of float16", False, done.stderr.strip()[-300:])
    difference = float(np.abs(np.load(answers) - expected).max() / np.ptp(expected))
    detail = f"largest difference of a logit {difference:.1e} of their spread"
    report.check(f"{name}: TFLite of float16", 0 < difference <= HALF_TOLERANCE, detail)
    ask("TFLite of float16 in LiteRT", python, "litert_check.py", out, given, answers, TOLERANCE)


def run(command: list) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True)


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
