"""Fine-tuning beside Keras on the same photos: python3 benches/peers/fine_tune.py

A folder of photos (train/, validation/ and test/ with a folder for each class), the backbone of one
module, the same epochs, two threads. Each program is one process, timed as a whole: start, decoding,
training, test. Prints seconds and accuracy on the test photos, in all and by class.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def ours(options, mode: str, scratch: pathlib.Path) -> dict:
    """`mobilenet fine-tune`, from a folder without features of earlier runs."""
    out = scratch / f"ours-{mode}"
    flags = ["--module", options.module, "--data", options.data, "--out", out, "--mode", mode]
    flags += ["--threads", options.threads, "--jsonl", "--quiet", "--offline"]
    if options.epochs:
        flags += ["--epochs", options.epochs]
    began = time.perf_counter()
    lines = run([options.mobilenet, "fine-tune", *flags]).splitlines()
    result = json.loads(lines[-1])
    version = run([options.mobilenet, "--version"]).strip()
    return {**result, "seconds": time.perf_counter() - began, "version": version}


def keras(options, mode: str, scratch: pathlib.Path) -> dict:
    """Keras, its start included."""
    weights = scratch / "weights.npz"
    run([options.mobilenet, "convert", "--offline", options.module, weights])
    requirements = ROOT / "interop" / "requirements.txt"
    python = run([sys.executable, ROOT / "scripts" / "venv.py", requirements]).strip()
    flags = ["--weights", weights, "--data", options.data, "--mode", mode, "--epochs", options.epochs]
    began = time.perf_counter()
    lines = run([python, HERE / "workers/fine_tune_with_keras.py", *flags, "--threads", options.threads])
    return {**json.loads(lines.splitlines()[-1]), "seconds": time.perf_counter() - began}


def run(command: list) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def report(results: list[tuple[str, dict]]) -> None:
    row = lambda name, cells: print(f"| {name} | {' | '.join(cells)} |")
    row("", [f"{mode}, {found['version']}" for mode, found in results])
    print("|---|" + "---:|" * len(results))
    row("seconds in all", [f"{found['seconds']:.0f}" for _, found in results])
    row("test accuracy", [f"{found['top1']:.1%}" for _, found in results])
    for name in results[0][1]["accuracy_by_class"]:
        row(name, [f"{found['accuracy_by_class'][name]:.0%}" for _, found in results])


def arguments() -> argparse.Namespace:
    shared = pathlib.Path(os.environ.get("MOBILENET_SHARED", ROOT.parent / "shared"))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=pathlib.Path, help="a folder of photos; without, the reference data's clothes")
    add("--modes", default="head,full", help="head, full, or both")
    add("--epochs", type=int, default=0, help="the recipes' own without")
    add("--threads", type=int, default=2)
    add("--only", default="", help="ours or keras")
    add("--mobilenet", type=pathlib.Path, default=target / "release" / "mobilenet", help="our program, release build")
    add("--module", default=shared / "modules/mobilenet_v1_025_192/feature_vector/1.tar.gz")
    options = parser.parse_args()
    options.archive = shared / "data/clothing-small.tar.zst"
    return options


def main() -> None:
    options = arguments()
    results = []
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        if options.data is None:
            subprocess.run(["tar", "--zstd", "-xf", options.archive, "-C", scratch], check=True)
            options.data = scratch / options.archive.name.split(".")[0]
        for mode in options.modes.split(","):
            for program in (ours, keras):
                if options.only in ("", program.__name__):
                    results.append((mode, program(options, mode, scratch)))
                    print(f"{mode}, {results[-1][1]['version']}: {results[-1][1]['seconds']:.0f} s", file=sys.stderr)
    report(results)


if __name__ == "__main__":
    main()
