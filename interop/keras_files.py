"""usage: keras_files.py FOLDER: writes Keras's MobileNets in every form that Keras saves, with their answers.

Small networks with random weights and random batch norm statistics: MobileNet (multiplier 0.25, 64x64
pixels, 7 classes), and MobileNetV2 (multiplier 0.35, 96x96 pixels), whose blocks add. FOLDER gets
`images.npy` and `images_v2.npy` in [0, 1], `logits.npy`, `features.npy`, `logits_v2.npy`,
`features_v2.npy`, `logits_retrained.npy`, `logits_sigmoid.npy`, and the files that keras_check.py lists; of 1000 classes, whose names we know, those
it quantises.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

SEED = 20240117
# Standard deviation of the logits of networks that are quantised.
SPREAD = 3.0
NETWORK = dict(input_shape=(64, 64, 3), alpha=0.25, weights=None)


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    network = tf.keras.applications.MobileNet(classes=7, classifier_activation=None, **NETWORK)
    network.set_weights([value(random, weight) for weight in network.weights])
    softmax = tf.keras.applications.MobileNet(classes=7, **NETWORK)
    softmax.set_weights(network.get_weights())
    headless = tf.keras.applications.MobileNet(include_top=False, pooling="avg", **NETWORK)
    headless.set_weights(network.get_weights()[: len(headless.weights)])
    unpooled = tf.keras.applications.MobileNet(include_top=False, **NETWORK)
    unpooled.set_weights(headless.get_weights())

    images = random.random((4, 64, 64, 3), dtype=np.float32)
    np.save(folder / "images.npy", images)
    np.save(folder / "logits.npy", network.predict(images * 2 - 1, verbose=0))
    np.save(folder / "features.npy", headless.predict(images * 2 - 1, verbose=0))
    for name, model in (("logits", network), ("softmax", softmax), ("no_top", headless), ("no_pool", unpooled)):
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
    softmax.export(folder / "exported")
    # Its open number of images makes the file compute shapes.
    lite = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    (folder / "logits.tflite").write_bytes(lite)
    second_version(random, folder)
    for_eight_bits(random, folder)
    return 0


def for_eight_bits(random: np.random.Generator, folder: pathlib.Path) -> None:
    """MobileNetV2, and a small network whose strided windows have borders that no `SAME` has."""
    images = np.load(folder / "images_v2.npy")
    second = tf.keras.applications.MobileNetV2(classes=1000, input_shape=(96, 96, 3), alpha=0.35, weights=None)
    layers = tf.keras.layers
    norm = lambda x: layers.ReLU(6.0)(layers.BatchNormalization()(x))
    given = x = layers.Input((96, 96, 3))
    x = norm(layers.Conv2D(16, 3, strides=2, use_bias=False)(layers.ZeroPadding2D(1)(x)))
    x = norm(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
    x = norm(layers.DepthwiseConv2D(3, strides=2, use_bias=False)(layers.ZeroPadding2D(((2, 1), (0, 1)))(x)))
    x = norm(layers.Conv2D(32, 5, strides=2, use_bias=False)(layers.ZeroPadding2D(((1, 4), (3, 0)))(x)))
    x = layers.Dense(1000, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    for name, network in (("bytes_v2", second), ("bytes_borders", tf.keras.Model(given, x))):
        network.set_weights([value(random, weight) for weight in network.weights])
        settle(network, images * 2 - 1)
        decide(network, images * 2 - 1)
        network.save(folder / f"{name}.h5")


def decide(network: tf.keras.Model, images: np.ndarray) -> None:
    """Makes the last layer so sure that probabilities are more than a few of 256 steps."""
    head = network.layers[-1]
    kernel, bias = head.get_weights()
    features = tf.keras.Model(network.input, head.input).predict(images, verbose=0)
    head.set_weights([kernel * SPREAD / (features @ kernel).std(), bias])


def second_version(random: np.random.Generator, folder: pathlib.Path) -> None:
    network = dict(input_shape=(96, 96, 3), alpha=0.35, weights=None)
    softmax = tf.keras.applications.MobileNetV2(classes=7, **network)
    softmax.set_weights([value(random, weight) for weight in softmax.weights])
    images = random.random((4, 96, 96, 3), dtype=np.float32)
    settle(softmax, images * 2 - 1)
    headless = tf.keras.applications.MobileNetV2(include_top=False, pooling="avg", **network)
    headless.set_weights(softmax.get_weights()[: len(headless.weights)])
    features = headless.predict(images * 2 - 1, verbose=0)
    kernel, bias = softmax.get_layer("predictions").get_weights()
    np.save(folder / "images_v2.npy", images)
    np.save(folder / "features_v2.npy", features)
    np.save(folder / "logits_v2.npy", features @ kernel + bias)
    for name, model in (("softmax_v2", softmax), ("no_top_v2", headless)):
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
    softmax.export(folder / "exported_v2")
    retrained(headless, images, folder)


def retrained(headless: tf.keras.Model, images: np.ndarray, folder: pathlib.Path) -> None:
    """A MobileNetV2 as one layer, behind augmentation and `preprocess_input` and before a new head: what
    transfer learning leaves."""
    layers = tf.keras.layers
    given = layers.Input((96, 96, 3))
    augmented = tf.keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])(given)
    x = headless(tf.keras.applications.mobilenet_v2.preprocess_input(augmented), training=False)
    x = layers.BatchNormalization()(layers.Dropout(0.2)(x))
    model = tf.keras.Model(given, layers.Dense(3)(x))
    np.save(folder / "logits_retrained.npy", model.predict(images * 255, verbose=0))
    sigmoid = tf.keras.Sequential([model, layers.Activation("sigmoid")])
    np.save(folder / "logits_sigmoid.npy", sigmoid.predict(images * 255, verbose=0))
    for name, network in (("retrained", model), ("sigmoid", sigmoid)):
        network.save(folder / f"{name}.keras")
        network.save(folder / f"{name}.h5")
        lite = tf.lite.TFLiteConverter.from_keras_model(network).convert()
        (folder / f"{name}.tflite").write_bytes(lite)


def settle(model: tf.keras.Model, images: np.ndarray) -> None:
    """Gives every batch norm the statistics of `images`: what blocks add grows without bound else, and
    with it the rounding of float32."""
    norms = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm in norms:
        norm.momentum = 0.999


def value(random: np.random.Generator, weight: tf.Variable) -> np.ndarray:
    """Values that keep activations in a range where every layer matters."""
    leaf = weight.name.split("/")[-1].split(":")[0]
    shape = tuple(weight.shape)
    if leaf == "moving_variance":
        return random.uniform(0.5, 1.5, shape)
    if leaf == "gamma":
        return random.uniform(0.8, 1.6, shape)
    if leaf in ("beta", "moving_mean", "bias"):
        return random.uniform(-0.3, 0.5, shape)
    inputs = np.prod(shape[:-1]) if leaf == "kernel" else np.prod(shape[:2])
    return random.normal(0, np.sqrt(2 / inputs), shape)


if __name__ == "__main__":
    sys.exit(main())
