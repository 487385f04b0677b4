"""What is compared: the list of scenarios, the agreement check, the rounds."""

import json
import pathlib
import platform
import statistics
import subprocess
import sys

import numpy as np
from peers import PEERS, PEERS_BF16, PEERS_INT8, PIPELINES, Job, Ours, OursFromFiles, Peer, Worker
from report import Found, Row

HERE = pathlib.Path(__file__).resolve().parent
# Largest difference to TensorFlow's logits, as a share of the largest logit: float32 in any order.
LOGITS_TOLERANCE = 2e-5
# Photos that the agreement of less precise networks is counted on; each runtime rounds in its own way.
PHOTOS = 10
# Where processors have AVX-512, the instruction set that most of them have beside it.
HALF_AS_WIDE = "avx2" if platform.machine().lower() in ("x86_64", "amd64") else ""
# Photos whose label may differ from the majority's: decoders and resizers differ by design here.
LABELS_TOLERANCE = 0.1


def ours(options) -> str:
    """The name of our row: that of the instruction set it is forced to, if it is."""
    return f"mobilenet {options.isa}" if options.isa else "mobilenet"


def inference(multiplier: str, size: int, batch: int, threads: int, also: str = ""):
    """One forward pass with inputs and outputs in memory; ours is there a second time, forced to the
    instruction set `also`, if one is named."""

    def scenario(setup, options) -> Found:
        unit, signed = setup.images(size, batch)
        job = Job(setup.model(multiplier, size), threads, unit, signed)
        title = f"MobileNet V1 {multiplier}/{size}, batch {batch}, {threads} thread{'s'[: threads > 1]}"
        entries = [(peer.name, lambda peer=peer: Worker(peer, setup, job)) for peer in chosen(PEERS, options)]
        entries.insert(0, (ours(options), lambda: Ours(setup, job, options)))
        if also and not options.isa:
            entries.insert(1, (f"mobilenet {also}", lambda: Ours(setup, job, options, isa=also)))
        return compare(title, "call", batch, entries, agree_on_logits, options)

    return scenario


def scaling(setup, options) -> Found:
    """Ours on one thread and on two, in turn; the ratios of a row are what the two threads bring."""
    entries, pairs = [], []
    for batch in (1, 32):
        images = setup.images(192, batch)
        names = [f"batch {batch}, {threads} thread{'s'[: threads > 1]}" for threads in (1, 2)]
        pairs.append((batch, names))
        for threads, name in enumerate(names, 1):
            job = Job(setup.model("0.25", 192), threads, *images)
            entries.append((name, lambda job=job: Ours(setup, job, options)))

    def agree(rows: list, workers: dict) -> None:
        for _, names in pairs:
            agree_on_logits([row for row in rows if row.name in names], workers, tolerance=0)

    found = compare(f"{ours(options)} on one thread and two, 0.25/192", "call", 1, entries, agree, options)
    for batch, names in pairs:
        for row in found.rows:
            if row.name in names:
                row.images, row.against = batch, names[-1]
    return found


def int8(setup, options) -> Found:
    """One forward pass of the network in 8 bits, beside ours in float32."""
    title = "MobileNet V1 0.25/192 in int8, batch 1, 1 thread"
    folder = setup.int8()
    if not folder:
        return Found(title, "call", 1, [Row("all", problem="needs the reference data")])

    def job(batch: int) -> Job:
        return Job(folder, 1, *setup.images(192, batch), module=folder / "model.tflite")

    def entries(batch: int) -> list:
        made = [(ours(options), lambda: Ours(setup, job(batch), options))]
        return made + [(peer.name, lambda peer=peer: Worker(peer, setup, job(batch))) for peer in chosen(PEERS_INT8, options)]

    floats = Job(setup.model("0.25", 192), 1, *setup.images(192, 1))
    agree = lambda rows, workers: agree_on_classes(rows, entries(PHOTOS))
    timed = [*entries(1), (f"{ours(options)} f32", lambda: Ours(setup, floats, options))]
    return compare(title, "call", 1, timed, agree, options)


def bf16(setup, options) -> Found:
    """One forward pass with products in bfloat16, beside ours in float32; who cannot says so."""
    job = lambda batch: Job(setup.model("0.25", 192), 1, *setup.images(192, batch))

    def entries(batch: int) -> list:
        made = [(ours(options), lambda: Ours(setup, job(batch), options, precision="bf16"))]
        return made + [(peer.name, lambda peer=peer: Worker(peer, setup, job(batch))) for peer in chosen(PEERS_BF16, options)]

    agree = lambda rows, workers: agree_on_classes(rows, entries(PHOTOS))
    timed = [*entries(1), (f"{ours(options)} f32", lambda: Ours(setup, job(1), options))]
    return compare("MobileNet V1 0.25/192 in bfloat16, batch 1, 1 thread", "call", 1, timed, agree, options)


def files(setup, options) -> Found:
    """From photo files to labels, two threads."""
    job = Job(setup.model("0.25", 192), 2, photos=setup.photos())
    title = "Photos from files, 0.25/192, 2 threads"
    if not job.photos:
        return Found(title, "folder", 1, [Row("all", problem="needs the reference photos")])
    entries = [(peer.name, lambda peer=peer: Worker(peer, setup, job)) for peer in chosen(PIPELINES, options)]
    entries.insert(0, (ours(options), lambda: OursFromFiles(setup, job, options)))
    count = len(list(job.photos.iterdir()))
    return compare(title, "folder", count, entries, agree_on_labels, options)


def cold_start(setup, options) -> Found:
    """From exec to the printed label of one photo; each turn is a fresh process."""
    model, photo = setup.model("0.25", 192), setup.shared / "images" / "koala.jpg"
    forced = ["--isa", options.isa] if options.isa else []
    classify = [setup.mobilenet, "classify", photo, "--module", model / "module", "--offline", "--top", "1"]
    commands = {
        ours(options): [*classify, *forced],
        "tract": [setup.rust / "tract_classify", model / "model.onnx", setup.labels, photo],
        "LiteRT (Python)": [setup.python, HERE / "workers/litert_classify.py", model / "model.tflite", setup.labels, photo],
    }
    rows = {name: Row(name) for name in commands}
    for round_ in range(options.rounds * 3 + 1):
        for name, command in commands.items():
            try:
                turn(rows[name], [launch(command)], keep=round_ > 0)
            except (OSError, RuntimeError) as error:
                rows[name].problem = str(error)
    return Found("Cold start: exec to printed label, 0.25/192", "start", 1, list(rows.values()), ours(options))


SCENARIOS = {
    "025_192": inference("0.25", 192, batch=1, threads=1, also=HALF_AS_WIDE),
    "025_128": inference("0.25", 128, batch=1, threads=1),
    "050_160": inference("0.5", 160, batch=1, threads=1),
    "075_192": inference("0.75", 192, batch=1, threads=1),
    "100_224": inference("1.0", 224, batch=1, threads=1),
    "single_2_threads": inference("0.25", 192, batch=1, threads=2),
    "batch_1_thread": inference("0.25", 192, batch=32, threads=1),
    "batch_2_threads": inference("0.25", 192, batch=32, threads=2),
    "scaling": scaling,
    "int8": int8,
    "bf16": bf16,
    "files": files,
    "cold_start": cold_start,
}


def compare(title: str, unit: str, images: int, entries: list, agree, options) -> Found:
    """Loads all, checks that they agree, then gives each its turns; who fails is a row that says why."""
    rows, workers = [], {}
    for name, start in entries:
        row = Row(name)
        rows.append(row)
        try:
            workers[name] = start()
            row.version, row.note = workers[name].version, workers[name].note
        except (OSError, RuntimeError) as error:
            row.problem = str(error)
    agree(rows, workers)
    able = [row for row in rows if not row.problem]
    for row in able:
        workers[row.name].warm(options.seconds)
    for _ in range(options.rounds):
        for row in able:
            turn(row, workers[row.name].turn())
    for worker in workers.values():
        worker.close()
    return Found(title, unit, images, rows, ours(options))


def turn(row, times, keep: bool = True) -> None:
    """Adds one turn's minimum and median, in microseconds, to a row."""
    if isinstance(times, dict):
        row.minima.append(times["min"])
        row.medians.append(times["median"])
    elif isinstance(times[0], tuple):
        row.peak_kib = max(row.peak_kib, *(peak for _, peak in times))
        turn(row, [elapsed for elapsed, _ in times], keep)
    elif keep:
        row.minima.append(min(times))
        row.medians.append(statistics.median(times))


def agree_on_logits(rows: list, workers: dict, tolerance: float = LOGITS_TOLERANCE) -> None:
    """All against TensorFlow where it takes part, against the first that runs otherwise."""
    outputs = gather(rows, workers)
    if not outputs:
        return
    reference = outputs.get("TensorFlow", next(iter(outputs.values())))
    for row in rows:
        if row.name in outputs:
            row.difference = float(np.abs(outputs[row.name] - reference).max())
            if not row.difference <= tolerance * np.abs(reference).max():
                row.problem = f"logits differ by {row.difference:.1e}"


def agree_on_labels(rows: list, workers: dict) -> None:
    """Each against the commonest label of each photo."""
    outputs = gather(rows, workers)
    if not outputs:
        return
    votes = np.stack(list(outputs.values()), axis=1)
    common = np.array([np.bincount(vote).argmax() for vote in votes])
    for row in rows:
        if row.name in outputs:
            row.difference = float((outputs[row.name] != common).mean())
            if row.difference > LABELS_TOLERANCE:
                row.problem = f"{row.difference:.0%} of the labels differ"


def agree_on_classes(rows: list, entries: list) -> None:
    """The share of photos whose likeliest class is not the commonest; differences are told, not refused."""
    workers = {name: start() for name, start in entries}
    outputs = gather([row for row in rows if row.name in workers], workers)
    classes = {name: np.argmax(scores, axis=1) for name, scores in outputs.items()}
    votes = np.stack(list(classes.values()), axis=1)
    common = np.array([np.bincount(vote).argmax() for vote in votes])
    for row in rows:
        if row.name in classes:
            row.difference = float((classes[row.name] != common).mean())
    for worker in workers.values():
        worker.close()


def gather(rows: list, workers: dict) -> dict:
    outputs = {}
    for row in rows:
        try:
            if not row.problem:
                outputs[row.name] = workers[row.name].outputs()
        except (OSError, RuntimeError, ValueError, json.JSONDecodeError) as error:
            row.problem = str(error)
    return outputs


def chosen(peers: list[Peer], options) -> list[Peer]:
    wanted = [name for name in options.peers.split(",") if name]
    return [peer for peer in peers if not wanted or peer.name in wanted]


def launch(command: list) -> tuple[float, int]:
    """Microseconds from exec to exit, and the peak of resident memory in KiB."""
    command = [sys.executable, "-I", "-S", HERE / "launch.py", *command]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][-300:])
    microseconds, kib = done.stdout.split()
    return float(microseconds), int(kib)
