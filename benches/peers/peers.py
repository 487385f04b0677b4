"""Who takes part, and how each is asked to run: one table line and one small program a peer."""

import dataclasses
import json
import os
import pathlib
import subprocess
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Peer:
    """`program(setup)` is the command line of a worker (see workers/protocol.py)."""

    name: str
    program: callable
    note: str = ""


PEERS = [
    Peer("ncnn", lambda s: [s.python, HERE / "workers/with_ncnn.py"], "a batch is a loop over images"),
    Peer("OpenVINO", lambda s: [s.python, HERE / "workers/with_openvino.py"], "one stream, float32 forced"),
    Peer("LiteRT", lambda s: [s.python, HERE / "workers/with_litert.py"], "XNNPACK"),
    Peer("ONNX Runtime", lambda s: [s.python, HERE / "workers/with_onnxruntime.py"]),
    Peer("tract", lambda s: [s.rust / "with_tract"], "a batch is split over threads"),
    Peer("rten", lambda s: [s.rust / "with_rten"]),
    Peer("TensorFlow", lambda s: [s.tensorflow, HERE / "workers/with_tensorflow.py"], "hub.Module"),
]
# The same network in 8 bits; all end in softmax.
PEERS_INT8 = [
    Peer("OpenVINO", lambda s: [s.python, HERE / "workers/with_openvino.py"], "from ONNX"),
    Peer("LiteRT", lambda s: [s.python, HERE / "workers/with_litert.py"], "XNNPACK, given int8"),
    Peer("ONNX Runtime", lambda s: [s.python, HERE / "workers/with_onnxruntime.py"]),
]
# Whose products are in bfloat16, in float32's network.
PEERS_BF16 = [
    Peer("OpenVINO", lambda s: [s.python, HERE / "workers/with_openvino.py", "--precision", "bf16"], "one stream"),
]
# Pipelines from photo files to labels, for the scenario `files`.
PIPELINES = [
    Peer("OpenCV + LiteRT", lambda s: [s.python, HERE / "workers/opencv_litert.py"]),
    Peer("Pillow + ONNX Runtime", lambda s: [s.python, HERE / "workers/pillow_onnxruntime.py"]),
    Peer("tf.data + LiteRT", lambda s: [s.tfdata, HERE / "workers/tfdata_litert.py"]),
]


@dataclasses.dataclass
class Job:
    """What all peers of one comparison compute."""

    model: pathlib.Path
    threads: int
    unit: pathlib.Path | None = None  # images in [0, 1]
    signed: pathlib.Path | None = None  # the same in [-1, 1]
    photos: pathlib.Path | None = None
    module: pathlib.Path | None = None  # what ours reads, if not `module` beside the others' models


class Worker:
    """A peer that stays loaded between its turns."""

    def __init__(self, peer: Peer, setup, job: Job) -> None:
        given = ["--photos", job.photos] if job.photos else ["--images", job.signed]
        command = [*peer.program(setup), "--model", job.model, *given, "--threads", job.threads]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: pin(job.threads),
        )
        self.name, self.note = peer.name, peer.note
        self.version = self._hear()["version"]

    def outputs(self) -> np.ndarray:
        return np.array(self._ask("outputs"))

    def warm(self, seconds: float) -> None:
        """Runs for a while, and from that fixes how many calls a turn takes."""
        calls, start = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < seconds:
            best = min(self._ask("run 3"))
            calls += 3
        self.calls = max(1, round(seconds * 1e6 / best))

    def turn(self) -> list[float]:
        """Microseconds of each call."""
        return self._ask(f"run {self.calls}")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, line: str):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._hear()

    def _hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self.process.wait()}")
        return json.loads(line)


class Ours:
    """`mobilenet bench`, started anew for each turn, and `mobilenet embed` for the outputs."""

    note = ""

    def __init__(self, setup, job: Job, options, isa: str | None = None, precision: str = "") -> None:
        self.job, self.program, self.seconds = job, setup.mobilenet, options.seconds
        isa = isa or options.isa
        self.how = ["--isa", isa] if isa else []
        self.how += ["--precision", precision] if precision else []
        self.version = self._run("--version").split()[-1]

    def outputs(self) -> np.ndarray:
        made = self.job.unit.with_suffix(".ours.npy")
        self._run("embed", self.job.unit, *self._common(), "--signature", "default", "--output", "default", "--out", made)
        return np.load(made)

    def warm(self, seconds: float) -> None:
        self.turn()

    def turn(self) -> dict:
        """The summary that `bench` prints of its own calls."""
        batch = len(np.load(self.job.unit, mmap_mode="r"))
        flags = ["--batch", batch, "--seconds", self.seconds, "--json"]
        return json.loads(self._run("bench", *self._common(), *flags))["latency_us"]

    def close(self) -> None:
        pass

    def _common(self) -> list:
        return ["--module", self.job.module or self.job.model / "module", "--threads", self.job.threads, "--offline", *self.how]

    def _run(self, *arguments) -> str:
        return run([self.program, *arguments], self.job.threads)


class OursFromFiles(Ours):
    """`mobilenet classify` on the folder of photos: a turn is the whole process, start-up included."""

    note = "its start-up included"

    def outputs(self) -> np.ndarray:
        rows = [json.loads(line) for line in self._classify().splitlines()]
        rows.sort(key=lambda row: row["path"])
        return np.array([row["predictions"][0]["index"] for row in rows])

    def turn(self) -> list[float]:
        start = time.perf_counter()
        self._classify()
        return [(time.perf_counter() - start) * 1e6]

    def _classify(self) -> str:
        flags = ["--resize", "tf2-bilinear", "--crop", "none", "--ignore-exif", "--jsonl", "--quiet"]
        return self._run("classify", "-r", self.job.photos, *self._common(), *flags)


def pin(threads: int) -> None:
    """One thread means one core, also for helpers a runtime starts on its own."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def run(command: list, threads: int) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, preexec_fn=lambda: pin(threads)
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-300:] or f"exit status {done.returncode}")
    return done.stdout
