"""Fine-tunes with Keras as `mobilenet fine-tune` does, and prints JSON: seconds, accuracy by class.

usage: fine_tune_with_keras.py --weights W.npz --data DIR --mode head|full --epochs N --threads T

`keras.applications.MobileNet` 0.25 at 192 with the weights of a module (`mobilenet convert M W.npz`),
a new classifier, and the numbers of our recipes `head` and `fine-tune`: SGD with Nesterov momentum,
warm-up and cosine, label smoothing, dropout, large crops and mirror images, the epoch that validates best.
Left out: L2 of 4e-5 and the average of the weights, which Keras cannot validate on.

`head` computes features once and trains the classifier on them; `full` does that first, too.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf
from tensorflow import keras

SIDE, BATCH, SEED = 192, 32, 1
# Learning rate, epochs when none are said.
HEAD, FULL = (0.01, 40), (0.005, 15)
DROPOUT, SMOOTHING = 0.1, 0.1


class Best(keras.callbacks.Callback):
    """Keeps the weights of the epoch that validates best."""

    def on_train_begin(self, logs=None):
        self.best, self.weights = -1.0, None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.best:
            self.best, self.weights = logs["val_accuracy"], self.model.get_weights()

    def on_train_end(self, logs=None):
        self.model.set_weights(self.weights)


def main() -> None:
    options = arguments()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(SEED)
    began = time.perf_counter()
    classes = sorted(folder.name for folder in (options.data / "train").iterdir())
    train, validation, test = (photos(options.data / side, classes) for side in ("train", "validation", "test"))
    backbone = load_backbone(options.weights)
    head = train_head(backbone, train, validation, len(classes), options)
    model = keras.Sequential([backbone, *head.layers])
    if options.mode == "full":
        train_all(model, train, validation, options)
    right, images = np.zeros(len(classes)), np.zeros(len(classes))
    answers = model.predict(plain(test), verbose=0).argmax(axis=1)
    np.add.at(images, test[1], 1)
    np.add.at(right, test[1], answers == test[1])
    by_class = dict(zip(classes, (right / images).tolist()))
    result = {"seconds": time.perf_counter() - began, "top1": float(right.sum() / images.sum())}
    print(json.dumps({**result, "accuracy_by_class": by_class, "version": f"Keras in TensorFlow {tf.__version__}"}))


def load_backbone(weights: pathlib.Path) -> keras.Model:
    """The network without its classifier, slim's variables under Keras's names."""
    model = keras.applications.MobileNet((SIDE, SIDE, 3), alpha=0.25, include_top=False, weights=None, pooling="avg")
    slim = np.load(weights)
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    layers = [("conv1", "conv1_bn", "Conv2d_0", "weights")]
    for n in range(1, 14):
        layers.append((f"conv_dw_{n}", f"conv_dw_{n}_bn", f"Conv2d_{n}_depthwise", "depthwise_weights"))
        layers.append((f"conv_pw_{n}", f"conv_pw_{n}_bn", f"Conv2d_{n}_pointwise", "weights"))
    for conv, norm, scope, kernel in layers:
        model.get_layer(conv).set_weights([slim[f"MobilenetV1/{scope}/{kernel}"]])
        model.get_layer(norm).set_weights([slim[f"MobilenetV1/{scope}/BatchNorm/{name}"] for name in names])
    return model


def photos(folder: pathlib.Path, classes: list[str]) -> tuple[list[str], np.ndarray]:
    """Paths and labels."""
    found = [(str(path), label) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]
    return [path for path, _ in found], np.array([label for _, label in found])


def plain(samples) -> tf.data.Dataset:
    """Batches of whole photos, values in [-1, 1]."""
    read = lambda path: tf.image.resize(decode(path), [SIDE, SIDE]) / 127.5 - 1.0
    paths = tf.data.Dataset.from_tensor_slices(samples[0])
    return paths.map(read, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def augmented(samples, classes: int) -> tf.data.Dataset:
    """Batches of crops and mirror images, shuffled, without end; photos are decoded once."""

    def change(image, label):
        box = tf.zeros([1, 0, 4])
        ranges = {"aspect_ratio_range": (0.85, 1.18), "area_range": (0.6, 1.0), "max_attempts": 100}
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image), box, use_image_if_no_bounding_boxes=True, min_object_covered=0.0, **ranges
        )
        image = tf.image.resize(tf.slice(image, begin, size), [SIDE, SIDE]) / 127.5 - 1.0
        return tf.image.random_flip_left_right(image), tf.one_hot(label, classes)

    decoded = tf.data.Dataset.from_tensor_slices(samples).map(lambda p, l: (decode(p), l), tf.data.AUTOTUNE)
    shuffled = decoded.cache().shuffle(len(samples[0])).repeat()
    return shuffled.map(change, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def decode(path):
    return tf.image.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")


def train_head(backbone: keras.Model, train, validation, classes: int, options) -> keras.Model:
    """The classifier alone, on features computed once."""
    features = [backbone.predict(plain(samples), verbose=0) for samples in (train, validation)]
    wanted = [keras.utils.to_categorical(samples[1], classes) for samples in (train, validation)]
    head = keras.Sequential([keras.layers.Dropout(DROPOUT), keras.layers.Dense(classes, activation="softmax")])
    rate, usual = HEAD
    epochs = options.epochs or usual if options.mode == "head" else usual
    steps = len(train[0]) // BATCH
    compile_for(head, rate, epochs, steps)
    data = tf.data.Dataset.from_tensor_slices((features[0], wanted[0])).shuffle(len(train[0])).repeat().batch(BATCH)
    head.fit(
        data, epochs=epochs, steps_per_epoch=steps, validation_data=(features[1], wanted[1]), verbose=0, callbacks=[Best()]
    )
    return head


def train_all(model: keras.Model, train, validation, options) -> None:
    """Everything, batch norm on the batch's statistics."""
    classes = model.output_shape[-1]
    rate, usual = FULL
    epochs, steps = options.epochs or usual, len(train[0]) // BATCH
    compile_for(model, rate, epochs, steps)
    held = tf.data.Dataset.zip(
        (plain(validation).unbatch(), tf.data.Dataset.from_tensor_slices(keras.utils.to_categorical(validation[1], classes)))
    ).batch(BATCH)
    data = augmented(train, classes)
    model.fit(data, epochs=epochs, steps_per_epoch=steps, validation_data=held, verbose=0, callbacks=[Best()])


def compile_for(model: keras.Model, rate: float, epochs: int, steps: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, (epochs - 1) * steps, alpha=0.001, warmup_target=rate, warmup_steps=steps
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    model.compile(optimizer, loss, metrics=["accuracy"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("weights", "data"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--mode", choices=["head", "full"], required=True)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
