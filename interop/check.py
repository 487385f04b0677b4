"""Compares our command line and our module writer with TensorFlow. Started by interop/run.

Questions, asked of a module that TensorFlow makes here and, when the reference data is at
hand, of real modules in it:

- rewritten: a module read and written back by us loads in `tensorflow_hub` with the same signatures,
  variables, losses and update ops, and equal outputs, for every tag set (bit for bit: the same
  TensorFlow runs both);
- converted: what `mobilenet convert` writes runs in TensorFlow, NumPy, safetensors, onnxruntime, LiteRT and
  MediaPipe with the module's own outputs (formats.py), and what Keras and its converters write runs in
  ours (keras_check.py);
- cached: a module that `mobilenet fetch` downloaded is found by `tensorflow_hub` in our cache (cache.py);
- embedded: `mobilenet embed` gives the logits that TensorFlow gives, within LOGITS_TOLERANCE;
- trained: a module that we fine-tuned is trained further by TensorFlow as by us (training.py).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import cache
import formats
import hub
import keras_check
import numpy as np
import training
from safetensors.numpy import load_file

# float32 against float32 in another order of summation; TensorFlow against itself in float64: 5e-5.
LOGITS_TOLERANCE = 1e-4
# A decoded photo may differ from TensorFlow's by rounding in the decoder; its logits by this much.
PHOTO_TOLERANCE = 1e-3
TAG_SETS = [set(), {"train"}]


class Report:
    """One line per check; remembers whether any failed, and how many parts were not checked."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def skip(self, what: str, reason: str) -> None:
        self.skipped += 1
        print(f"skipped {what}: {reason}", flush=True)

    def check(self, name: str, ok: bool, detail: str) -> None:
        self.passed += ok
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {detail}", flush=True)


def main() -> int:
    options = arguments()
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder, images in modules(report, options.shared, pathlib.Path(scratch)):
            check_rewritten(report, options, name, folder, images)
            check_embedded(report, options, name, folder, images)
            if name == "tiny":
                cache.check(report, options.mobilenet, folder, pathlib.Path(scratch))
        keras_check.check(report, options.mobilenet, pathlib.Path(scratch))
        if (options.shared / "golden").is_dir():
            check_formats(report, options, pathlib.Path(scratch))
            check_classified(report, options)
        check_trained(report, options, pathlib.Path(scratch))
    print(f"interop: {report.passed} passed, {report.failed} failed, {report.skipped} parts skipped")
    return report.failed > 0


def modules(report: Report, shared: pathlib.Path, scratch: pathlib.Path):
    """Yields (name, unpacked folder, images that fit): the tiny module, then the real ones."""
    tiny = scratch / "tiny"
    hub.make_tiny(tiny)
    yield "tiny", tiny, np.random.default_rng(hub.SEED).random((3, 8, 6, 3), dtype=np.float32)
    if not (shared / "golden").is_dir():
        report.skip("the real modules and all that needs them", f"no reference data at {shared}")
        return
    inputs = load_file(shared / "golden/inputs.safetensors")
    for archive in sorted((shared / "modules").rglob("*.tar.gz")):
        name = str(archive.relative_to(shared / "modules")).removesuffix(".tar.gz")
        folder = scratch / name.replace("/", "_")
        tarfile.open(archive).extractall(folder, filter="data")
        yield name, folder, inputs["128/plain" if "_128" in name else "192/plain"]


def check_rewritten(report: Report, options, name: str, folder: pathlib.Path, images: np.ndarray) -> None:
    """Ours after reading and writing, against the module as it was."""
    ours = folder.with_name(folder.name + "_rewritten")
    problem = run([options.rewrite, folder, ours])
    if problem:
        return report.check(f"{name}: rewritten", False, problem)
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    missing = [str(path) for path in files if not (ours / path).exists()]
    report.check(f"{name}: files", not missing, f"{len(files)} files, missing {missing}")
    for tags in TAG_SETS:
        label = f"{name} {sorted(tags)}"
        before, after = hub.facts(folder, tags), hub.facts(ours, tags)
        differing = [key for key in before if before[key] != after[key]]
        report.check(f"{label}: facts", not differing, f"differing: {differing}")
        compare_outputs(report, label, folder, ours, tags, images)
    logits = [hub.outputs_v2(path, images) for path in (folder, ours)]
    report.check(f"{name}: hub.load", np.array_equal(*logits), f"largest difference {distance(*logits):.1e}")


def compare_outputs(report: Report, label: str, folder, ours, tags: set[str], images: np.ndarray) -> None:
    """Bit for bit, except behind the dropout of a train graph, which is random."""
    signature = "image_classification"
    if signature not in hub.facts(folder, tags)["signatures"]:
        signature = "image_feature_vector"
    before, after = (hub.outputs(path, tags, signature, images) for path in (folder, ours))
    random = {f"outputs {n}" for n in ("default", "MobilenetV1/Logits", "MobilenetV1/Predictions")}
    names = [n for n in before if not (tags and signature == "image_classification" and n in random)]
    unequal = [n for n in names if not np.array_equal(before[n], after[n])]
    report.check(f"{label}: values", not unequal, f"{len(names)} outputs and variables, unequal: {unequal}")


def check_embedded(report: Report, options, name: str, folder: pathlib.Path, images: np.ndarray) -> None:
    """`mobilenet embed` on a float32 tensor, against the same module in TensorFlow."""
    given, made = folder.with_suffix(".in.npy"), folder.with_suffix(".out.npy")
    np.save(given, images)
    common = ["embed", "--module", folder, "--offline", given, "--out", made]
    problem = run([options.mobilenet, *common, "--signature", "default", "--output", "default"])
    if problem:
        return report.check(f"{name}: embed", False, problem)
    expected = hub.outputs(folder, set(), "default", images)["outputs default"]
    difference = distance(np.load(made), expected)
    detail = f"largest difference {difference:.1e} of {np.abs(expected).max():.1f}"
    report.check(f"{name}: embed", difference <= LOGITS_TOLERANCE, detail)


def check_formats(report: Report, options, scratch: pathlib.Path) -> None:
    """The module of the reference data in every format that `mobilenet convert` writes."""
    name = "mobilenet_v1_025_192/classification/1"
    module = scratch / name.replace("/", "_")
    images = load_file(options.shared / "golden/inputs.safetensors")["192/plain"]
    formats.check(report, options, name, module, images, hub.outputs(module, set(), "default", images))


def check_classified(report: Report, options) -> None:
    """`mobilenet classify` on photos: the five likeliest classes and their logits, per photo."""
    golden = load_file(options.shared / "golden/mobilenet_v1_025_192_classification_1.safetensors")
    photos = json.loads((options.shared / "images/images.json").read_text())
    files = [options.shared / "images" / photo["file"] for photo in photos]
    module = options.shared / "modules/mobilenet_v1_025_192/classification/1.tar.gz"
    flags = ["--module", module, "--resize", "tf2-bilinear", "--crop", "none", "--ignore-exif", "--jsonl"]
    done = subprocess.run([options.mobilenet, "classify", *flags, *files], capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(rows) != len(files):
        return report.check("classify", False, done.stderr.strip()[-300:] or f"{len(rows)} lines")
    worst, wrong = 0.0, []
    for row, expected, file in zip(rows, golden["plain/logits"], files):
        ours = row["predictions"]
        if ours[0]["index"] != int(expected.argmax()):
            wrong.append(file.name)
        worst = max([worst, *(abs(p["logit"] - float(expected[p["index"]])) for p in ours)])
    detail = f"{len(files)} photos, another top-1: {wrong}, largest difference of a logit {worst:.1e}"
    report.check("classify", not wrong and worst <= PHOTO_TOLERANCE, detail)


def check_trained(report: Report, options, scratch: pathlib.Path) -> None:
    """Fine-tuning of the real module where there is one, else of the one compiled in."""
    real = options.shared / "modules/mobilenet_v1_025_192/feature_vector/1.tar.gz"
    start = str(real) if real.exists() else "embedded:default"
    training.check(report, options.mobilenet, options.train_steps, start, scratch)


def run(command: list) -> str | None:
    """Runs a program; what went wrong, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return f"exit status {done.returncode}: {done.stderr.strip()[-300:]}" if done.returncode else None


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("rewrite", "train-steps", "mobilenet", "shared"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
