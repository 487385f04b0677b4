"""Makes one member of the family: a TF1 Hub module, the same network for LiteRT, and its layers.

usage: make_module.py OUT MULTIPLIER SIZE [ARCHIVE]     (in the environment of interop/requirements.txt)

With ARCHIVE the module in it is used as it is; without, one is made with seeded random weights (He
scale, so that values neither vanish nor overflow: speed does not depend on what the weights are).
Writes OUT/module/ (input in [0, 1]), OUT/model.tflite (input in [-1, 1], logits out) and
OUT/layers.npz (batch norm folded; what make_onnx.py and make_ncnn.py start from).
"""

import os
import pathlib
import sys
import tarfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import family
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

v1 = tf.compat.v1
SEED = 20170614
HEAD = "MobilenetV1/Logits/Conv2d_1c_1x1"


def main(out: pathlib.Path, multiplier: float, size: int, archive: str | None) -> None:
    module = out / "module"
    if archive:
        tarfile.open(archive).extractall(module, filter="data")
    else:
        export_random(module, multiplier, size)
    folded = fold(module, family.layers(multiplier))
    np.savez(out / "layers.npz", **folded)
    (out / "model.tflite").write_bytes(convert(folded, multiplier, size))


def export_random(folder: pathlib.Path, multiplier: float, size: int) -> None:
    """A hub module with slim's names and fresh weights."""
    spec = hub.create_module_spec(lambda: module_function(multiplier, size))
    with v1.Graph().as_default(), v1.Session() as session:
        module = hub.Module(spec)
        session.run(v1.global_variables_initializer())
        module.export(str(folder), session)


def module_function(multiplier: float, size: int) -> None:
    random = np.random.default_rng(SEED)
    images = v1.placeholder(tf.float32, [None, size, size, 3], name="images")
    x = images * 2.0 - 1.0
    for layer in family.layers(multiplier):
        x = random_layer(x, layer, random)
    pooled = tf.reduce_mean(x, [1, 2], keepdims=True)
    channels = pooled.shape[-1]
    weights = variable(f"{HEAD}/weights", he(random, [1, 1, channels, family.CLASSES]))
    biases = variable(f"{HEAD}/biases", np.zeros(family.CLASSES))
    logits = tf.squeeze(tf.nn.bias_add(tf.nn.conv2d(pooled, weights, 1, "SAME"), biases), [1, 2])
    hub.add_signature(inputs={"images": images}, outputs={"default": logits})
    hub.add_signature("image_classification", {"images": images}, {"default": logits})
    info = hub.ImageModuleInfo()
    info.default_image_size.height = info.default_image_size.width = size
    hub.attach_image_module_info(info)


def random_layer(x: tf.Tensor, layer: family.Layer, random: np.random.Generator) -> tf.Tensor:
    weights = variable(layer.weights_name, he(random, layer.weights_shape, layer.kind == "depthwise"))
    convolve = tf.nn.depthwise_conv2d if layer.kind == "depthwise" else tf.nn.conv2d
    x = convolve(x, weights, [1, layer.stride, layer.stride, 1], "SAME")
    start = {"gamma": random.uniform(0.9, 1.3), "beta": 0.1, "moving_mean": 0.02, "moving_variance": 1.0}
    norm = {
        name: variable(f"MobilenetV1/{layer.name}/BatchNorm/{name}", np.full(layer.outputs, value))
        for name, value in start.items()
    }
    x, _, _ = v1.nn.fused_batch_norm(
        x, norm["gamma"], norm["beta"], norm["moving_mean"], norm["moving_variance"], family.EPSILON, is_training=False
    )
    return tf.nn.relu6(x)


def he(random: np.random.Generator, shape: list[int], depthwise: bool = False) -> np.ndarray:
    fan_in = np.prod(shape[:2]) * (1 if depthwise else int(shape[2]))
    return random.normal(0, np.sqrt(2 / fan_in), shape)


def variable(name: str, start: np.ndarray):
    return v1.get_variable(name, initializer=start.astype(np.float32))


def fold(module: pathlib.Path, layers: list[family.Layer]) -> dict[str, np.ndarray]:
    """`<layer>/weights` (HWIO) and `<layer>/bias` with batch norm folded in, then the classifier."""
    read = tf.train.load_checkpoint(str(module / "variables" / "variables")).get_tensor
    folded = {}
    for layer in layers:
        gamma, beta, mean, variance = (
            read(f"MobilenetV1/{layer.name}/BatchNorm/{name}").astype(np.float64)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + family.EPSILON)
        along = scale[:, None] if layer.kind == "depthwise" else scale
        folded[f"{layer.name}/weights"] = (read(layer.weights_name) * along).astype(np.float32)
        folded[f"{layer.name}/bias"] = (beta - mean * scale).astype(np.float32)
    folded["Logits/weights"] = read(f"{HEAD}/weights")[0, 0]
    folded["Logits/bias"] = read(f"{HEAD}/biases")
    return folded


def convert(folded: dict[str, np.ndarray], multiplier: float, size: int) -> bytes:
    """The folded network through TensorFlow's own converter."""

    @tf.function(input_signature=[tf.TensorSpec([1, size, size, 3], tf.float32)])
    def network(x):
        for layer in family.layers(multiplier):
            convolve = tf.nn.depthwise_conv2d if layer.kind == "depthwise" else tf.nn.conv2d
            x = convolve(x, folded[f"{layer.name}/weights"], [1, layer.stride, layer.stride, 1], "SAME")
            x = tf.nn.relu6(x + folded[f"{layer.name}/bias"])
        return tf.matmul(tf.reduce_mean(x, [1, 2]), folded["Logits/weights"]) + folded["Logits/bias"]

    return tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), *(sys.argv[4:] or [None]))
