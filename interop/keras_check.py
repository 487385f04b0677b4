"""Files that Keras, tensorflowjs and tf2onnx wrote, read by us. Called by check.py.

`mobilenet embed` gives Keras's own logits or features of the same images.
"""

import pathlib
import subprocess
import sys

import eight_bits
import formats
import numpy as np

HERE = pathlib.Path(__file__).parent
# float32 against float32, sums in another order; the logits reach about 10.
TOLERANCE = 1e-4
# Each file, and what it answers.
KERAS = [
    (f"{name}.{kind}", answer)
    for name, answer in (("logits", "logits"), ("softmax", "logits"), ("no_top", "features"), ("no_pool", "features"))
    for kind in ("keras", "h5")
] + [("exported", "logits"), ("logits.tflite", "logits")]
KERAS_V2 = [
    (f"{name}_v2.{kind}", f"{answer}_v2")
    for name, answer in (("softmax", "logits"), ("no_top", "features"))
    for kind in ("keras", "h5")
] + [("exported_v2", "logits_v2")]
KERAS_V2 += [
    (f"{name}.{kind}", f"logits_{name}") for name in ("retrained", "sigmoid") for kind in ("keras", "h5", "tflite")
]
# Of MobileNetV2's kind: sums, means and softmax in 8 bits; and borders of windows that no `SAME` has.
EIGHT_BITS = [
    ("bytes_v2", eight_bits.PROBABILITIES),
    ("bytes_borders", eight_bits.PROBABILITIES),
    ("no_top_v2", eight_bits.FEATURES),
]
CONVERTED = [
    ("tfjs_layers", "logits"),
    ("tfjs_graph", "logits"),
    ("tfjs_no_top", "features"),
    ("tf2onnx.onnx", "logits"),
]


def check(report, mobilenet, scratch: pathlib.Path) -> None:
    """Every file that can be made here."""
    folder = scratch / "keras"
    made = run([sys.executable, HERE / "keras_files.py", folder])
    if made:
        return report.check("Keras writes its files", False, made)
    compare(report, mobilenet, folder, KERAS)
    compare(report, mobilenet, folder, KERAS_V2, images="images_v2.npy")
    check_eight_bits(report, mobilenet, folder)
    python = subprocess.run(
        [sys.executable, HERE.parent / "scripts/venv.py", HERE / "requirements-converters.txt"],
        capture_output=True, text=True,
    )
    if python.returncode:
        return report.skip("tensorflowjs and tf2onnx", python.stderr.strip()[-200:])
    made = run([python.stdout.strip(), HERE / "converted_files.py", folder])
    if made:
        return report.check("tensorflowjs and tf2onnx write their files", False, made)
    compare(report, mobilenet, folder, CONVERTED)


def check_eight_bits(report, mobilenet, folder: pathlib.Path) -> None:
    """Networks of Keras's, quantised by us, give LiteRT's bytes."""
    python, missing = formats.runtimes()
    if missing:
        return report.skip("Keras's networks in 8 bits", missing)
    images = np.load(folder / "images_v2.npy")
    for name, answer in EIGHT_BITS:
        module, scratch = folder / f"{name}.h5", folder / f"{name}_8"
        eight_bits.check(report, mobilenet, python, name, module, images, scratch, answer)


def compare(
    report, mobilenet, folder: pathlib.Path, files: list[tuple[str, str]], images: str = "images.npy"
) -> None:
    for name, answer in files:
        out = folder / "out.npy"
        signature = "image_classification" if answer.startswith("logits") else "image_feature_vector"
        command = [mobilenet, "embed", "--module", folder / name, "--offline", folder / images, "--out", out]
        problem = run([*command, "--signature", signature, "--output", "default"])
        if problem:
            report.check(f"{name}: embed", False, problem)
            continue
        ours, theirs = np.load(out), np.load(folder / f"{answer}.npy")
        difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
        detail = f"{answer}, largest difference {difference:.1e} of {np.abs(theirs).max():.1f}"
        report.check(f"{name}: embed", difference <= TOLERANCE, detail)


def run(command: list) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()[-300:] if done.returncode else None
