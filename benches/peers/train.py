"""One step of training beside PyTorch and TensorFlow, interleaved: python3 benches/peers/train.py

MobileNet V1 0.25/192, batch 32, two threads: forward, backward, SGD with momentum, batch norm on the
batch's statistics with moving averages. Makes the Python environments (cached), then times everyone
in turn: A, B, C, A, B, C, … Prints minimum, median and spread of the rounds, and peak memory.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Name, requirements, program, variant.
PEERS = [
    ("PyTorch", HERE / "requirements-torch.txt", "train_with_torch.py", "contiguous"),
    ("PyTorch", HERE / "requirements-torch.txt", "train_with_torch.py", "channels_last"),
    ("PyTorch", HERE / "requirements-torch.txt", "train_with_torch.py", "compiled"),
    ("TensorFlow", ROOT / "interop" / "requirements.txt", "train_with_tensorflow.py", "graph"),
    ("TensorFlow", ROOT / "interop" / "requirements.txt", "train_with_tensorflow.py", "xla"),
]


class Peer:
    """A worker that stays loaded between its turns; see workers/steps.py."""

    def __init__(self, name, requirements, program, variant, options) -> None:
        self.name, self.minima, self.medians = f"{name} ({variant})", [], []
        self.log = tempfile.TemporaryFile("w+")
        flags = ["--batch", options.batch, "--threads", options.threads, "--variant", variant]
        command = [python(requirements), HERE / "workers" / program, *flags]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        made = self._hear()
        self.name = f"{name} {made['version'].split('+')[0]} ({variant})"
        self.parameters = made["parameters"]

    def turn(self, steps: int) -> None:
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        found = self._hear()
        self.minima.append(min(found))
        self.medians.append(statistics.median(found))

    def close(self) -> float:
        """Peak memory in MiB."""
        self.process.stdin.close()
        return self._hear()["peak_mib"]

    def _hear(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise RuntimeError((self.log.read().strip().splitlines() or ["it ended without a word"])[-1])
        return json.loads(line)


class Ours:
    """`mobilenet bench --train`, started anew for each turn."""

    def __init__(self, options) -> None:
        self.options, self.minima, self.medians, self.peak = options, [], [], 0.0
        self.name = "mobilenet"

    def turn(self, steps: int) -> None:
        options = self.options
        flags = ["--module", options.module, "--batch", options.batch, "--threads", options.threads]
        seconds = steps * (self.medians[-1] if self.medians else 1e5) / 1e6
        command = [options.mobilenet, "bench", "--train", "--offline", "--json", "--seconds", seconds, *flags]
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        self.found = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"mobilenet ended with status {status}")
        self.peak = max(self.peak, usage.ru_maxrss / 1024)
        self.minima.append(self.found["latency_us"]["min"])
        self.medians.append(self.found["latency_us"]["median"])

    def close(self) -> float:
        return self.peak


def python(requirements: pathlib.Path) -> str:
    made = subprocess.run([sys.executable, ROOT / "scripts" / "venv.py", requirements], stdout=subprocess.PIPE, text=True)
    if made.returncode:
        raise RuntimeError(f"no environment for {requirements.name}")
    return made.stdout.strip()


def start(options) -> list:
    runners = [Ours(options)]
    for name, requirements, program, variant in PEERS:
        words = options.peers.split(",")
        if not any(word in f"{name} {variant}".lower() for word in words):
            continue
        try:
            runners.append(Peer(name, requirements, program, variant, options))
        except RuntimeError as error:
            print(f"{name} ({variant}) is left out: {error}", file=sys.stderr)
    counts = {runner.parameters for runner in runners[1:]}
    if len(counts) > 1:
        sys.exit(f"networks of different size: {counts}")
    return runners


def report(runners: list, batch: int) -> None:
    ours = min(runners[0].minima)
    print("| | min ms | median ms | images/s | ratio | noise | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for runner in sorted(runners, key=lambda runner: min(runner.minima)):
        least, median = min(runner.minima), statistics.median(runner.medians)
        noise = (max(runner.medians) - min(runner.medians)) / median
        cells = [f"{least / 1e3:.1f}", f"{median / 1e3:.1f}", f"{batch / median * 1e6:.0f}"]
        cells += [f"{least / ours:.2f}", f"{noise:.1%}", f"{runner.close():.0f}"]
        print(f"| {runner.name} | {' | '.join(cells)} |")


def arguments() -> argparse.Namespace:
    shared = pathlib.Path(os.environ.get("MOBILENET_SHARED", ROOT.parent / "shared"))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--batch", type=int, default=32)
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=5, help="how often each has its turn")
    add("--steps", type=int, default=5, help="steps of a turn")
    add("--peers", default="", help="only these, separated by commas, such as: channels_last,tensorflow")
    add("--mobilenet", type=pathlib.Path, default=target / "release" / "mobilenet", help="our program, release build")
    add("--module", default=shared / "modules/mobilenet_v1_025_192/classification/1.tar.gz", help="with a training graph")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    runners = start(options)
    for round_ in range(options.rounds + 1):
        for runner in runners:
            runner.turn(options.steps)
            if round_ == 0:  # to warm up
                runner.minima.clear()
                runner.medians[:-1] = []
    for runner in runners:
        del runner.medians[0]
    report(runners, options.batch)


if __name__ == "__main__":
    main()
