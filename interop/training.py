"""A module that we fine-tuned, trained further by TensorFlow; our event files, read by TensorBoard.

Called by check.py. `mobilenet fine-tune` takes a few steps on small pictures made here. The module it
writes is loaded by `tensorflow_hub` with tags {"train"}, and TensorFlow and our trainer each take
the same steps from it: plain gradient descent on cross-entropy and the module's regularisation
losses, with its update ops. Losses before each step and all variables after the last must agree.
"""

import json
import pathlib
import subprocess

import hub
import numpy as np
import tensorflow.compat.v1 as tf
import tensorflow_hub
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CLASSES = ["dots", "grey", "stripes"]
SIDE, BATCH, STEPS = 96, 8, 3
# Small enough that three steps on wrong names stay in the region of the first: beyond it rounding grows.
RATE = 0.0005
# float32 against float32 through batch statistics: TensorFlow against itself in float64 on the
# reference batch: 6.5e-5 in the losses of five steps, 8.3e-7 in all variables together.
LOSS_TOLERANCE = 1e-4
# Of what the steps before have taken off the loss: a seventh of how far TensorFlow's float32 slopes are from
# float64 (7e-3), by gates that fall the other way at an edge.
FALL_TOLERANCE = 1e-3
VARIABLES_TOLERANCE = 1e-5


def check(report, mobilenet, train_steps, start: str, scratch: pathlib.Path) -> None:
    """Fine-tunes the module `start`, and checks what comes of it."""
    data, tuned, board = (scratch / name for name in ("photos", "tuned", "board"))
    write_photos(data)
    sizes = ["--image-size", SIDE, "--batch-size", BATCH, "--epochs", "2", "--dropout", "0"]
    flags = ["--mode", "full", *sizes, "--learning-rate", "0.01", "--tensorboard", board, "--jsonl"]
    command = [mobilenet, "fine-tune", "--offline", "--module", start, "--data", data, "--out", tuned, *flags]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        return report.check("fine-tune", False, done.stderr.strip()[-300:])
    told = [json.loads(line) for line in done.stdout.splitlines()]
    check_events(report, board, told)
    check_steps(report, train_steps, tuned, scratch)
    images, _ = batch()
    answered = scratch / "tuned.npy"
    flags = ["--signature", "image_classification", scratch / "batch.npy", "--out", answered]
    command = [mobilenet, "embed", "--offline", "--module", tuned, *flags]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        return report.check("fine-tuned module", False, done.stderr.strip()[-300:])
    theirs = hub.outputs(tuned, set(), "image_classification", images)["outputs default"]
    difference = float(np.abs(np.load(answered) - theirs).max())
    report.check("fine-tuned module", difference <= LOSS_TOLERANCE, f"logits {difference:.1e} from tensorflow_hub's")


def check_events(report, board: pathlib.Path, told: list[dict]) -> None:
    """Every number of `--jsonl` is in the event files, by tag and step."""
    step_tags = {tag: tag for tag in ("loss", "total_loss", "accuracy", "learning_rate")}
    epoch_tags = {"loss": "validation_loss", "accuracy": "top_1", "top_5_accuracy": "top_5"}
    for folder, event, tags in (("train", "step", step_tags), ("validation", "epoch", epoch_tags)):
        events = EventAccumulator(str(board / folder), size_guidance={"scalars": 0}).Reload()
        lines = [line for line in told if line["event"] == event]
        found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        wanted = {tag: [(line["step"], float(np.float32(line[key]))) for line in lines] for tag, key in tags.items()}
        detail = f"{len(found)} scalars of {len(lines)} steps"
        report.check(f"TensorBoard: {folder}", bool(lines) and found == wanted, detail)


def check_steps(report, train_steps, tuned: pathlib.Path, scratch: pathlib.Path) -> None:
    """The same steps from the same module, by us and by TensorFlow."""
    images, labels = batch()
    given, classes, made = (scratch / name for name in ("batch.npy", "classes.npy", "after.npz"))
    np.save(given, images)
    np.save(classes, labels)
    command = [train_steps, tuned, given, classes, RATE, STEPS, made]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        return report.check("train_steps", False, done.stderr.strip()[-300:])
    ours = np.array(json.loads(done.stdout))
    theirs, variables = tensorflow_steps(tuned, images, labels)
    falls = np.abs(theirs - theirs[0]).max(axis=1)
    for step, difference in enumerate(np.abs(ours - theirs).max(axis=1), start=1):
        tolerance = LOSS_TOLERANCE + FALL_TOLERANCE * falls[step - 1]
        detail = f"cross-entropy {theirs[step - 1][0]:.6f}, in all {theirs[step - 1][1]:.6f}; {difference:.1e} off"
        report.check(f"loss before step {step}", difference <= tolerance, detail)
    after = np.load(made)
    missing = sorted(set(variables) ^ set(after.files))
    gap = sum(float(((after[name] - value) ** 2).sum()) for name, value in variables.items() if name in after)
    norm = sum(float((value**2).sum()) for value in variables.values())
    relative = (gap / norm) ** 0.5
    detail = f"{len(variables)} variables, {relative:.1e} relative L2, only one has {missing}"
    report.check(f"variables after step {STEPS}", not missing and relative <= VARIABLES_TOLERANCE, detail)


def tensorflow_steps(folder: pathlib.Path, images: np.ndarray, labels: np.ndarray):
    """Losses before each step, and all variables after the last."""
    with tf.Graph().as_default() as graph:
        module = tensorflow_hub.Module(str(folder), tags={"train"}, trainable=True)
        logits = module({"images": tf.constant(images)}, signature="image_classification")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        total = loss + tf.losses.get_regularization_loss()
        updates = graph.get_collection(tf.GraphKeys.UPDATE_OPS)
        slopes = tf.gradients(total, tf.trainable_variables())
        # All slopes first: a variable must not move while another's slope is computed from it.
        with tf.control_dependencies([loss, total, *slopes, *updates]):
            step = [v.assign_sub(RATE * g) for v, g in zip(tf.trainable_variables(), slopes)]
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.tables_initializer()])
            losses = [session.run([loss, total, step])[:2] for _ in range(STEPS)]
            return np.array(losses), session.run(dict(module.variable_map))


def picture(kind: int, number: int) -> np.ndarray:
    """One of CLASSES: `[SIDE, SIDE, 3]`, uint8."""
    random = np.random.default_rng([hub.SEED, kind, number])
    y, x = np.mgrid[:SIDE, :SIDE] // 12
    shapes = [(x % 3 == 0) & (y % 3 == 0), np.zeros_like(x, bool), (x + number) % 2 == 0]
    ink, paper = random.uniform(120, 250, 3), random.uniform(0, 110, 3)
    colours = np.where(shapes[kind][..., None], ink, paper)
    return np.clip(colours + random.normal(0, 12, colours.shape), 0, 255).astype(np.uint8)


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Pictures that fine-tuning has not seen, called by wrong names: large losses, large slopes."""
    kinds = np.arange(BATCH, dtype=np.int64) % len(CLASSES)
    labels = (kinds + 1) % len(CLASSES)
    pictures = [picture(kind, 1000 + number) for number, kind in enumerate(kinds)]
    return np.stack(pictures).astype(np.float32) / 255, labels


def write_photos(folder: pathlib.Path) -> None:
    """`train/` and `val/` with a folder for each class."""
    with tf.Graph().as_default(), tf.Session() as session:
        pixels = tf.placeholder(tf.uint8, [None, None, 3])
        png = tf.io.encode_png(pixels)
        for side, numbers in (("train", range(16)), ("val", range(100, 104))):
            for kind, name in enumerate(CLASSES):
                (folder / side / name).mkdir(parents=True)
                for number in numbers:
                    bytes_ = session.run(png, {pixels: picture(kind, number)})
                    (folder / side / name / f"{number}.png").write_bytes(bytes_)
