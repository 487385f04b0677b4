"""TensorFlow Hub modules as TensorFlow itself sees them: made, loaded, run. No comparisons here.

TensorFlow 2.15 in its TF1 graph mode with the original `tensorflow_hub` 0.14.
"""

import os
import pathlib
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
warnings.filterwarnings("ignore")

import numpy as np
import tensorflow.compat.v1 as tf
import tensorflow_hub

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()
SEED = 20240117


def facts(folder: pathlib.Path, tags: set[str]) -> dict:
    """What a user of `hub.Module` can see of one tag set, apart from values."""
    with tf.Graph().as_default() as graph:
        module = tensorflow_hub.Module(str(folder), tags=tags, trainable=True)
        for signature in module.get_signature_names():
            module(_placeholders(module, signature), signature=signature)
        return {
            "signatures": {
                name: (
                    _shapes(module.get_input_info_dict(name)),
                    _shapes(module.get_output_info_dict(name)),
                )
                for name in module.get_signature_names()
            },
            "variables": sorted(v.name for v in graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)),
            "trainable": len(graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)),
            "regularization_losses": len(graph.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)),
            "update_ops": len(graph.get_collection(tf.GraphKeys.UPDATE_OPS)),
            "image_size": _image_size(module),
        }


def outputs(folder: pathlib.Path, tags: set[str], signature: str, images: np.ndarray) -> dict:
    """Every output of one signature, and every variable, after loading: name -> array."""
    with tf.Graph().as_default():
        module = tensorflow_hub.Module(str(folder), tags=tags)
        given = tf.placeholder(images.dtype, [None, *images.shape[1:]])
        wanted = {
            "outputs": module({"images": given}, signature=signature, as_dict=True),
            "variables": dict(module.variable_map),
        }
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.tables_initializer()])
            values = session.run(wanted, {given: images})
    return {f"{kind} {name}": v for kind, named in values.items() for name, v in named.items()}


def outputs_v2(folder: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Logits through `hub.load`, the way today's TensorFlow reaches an old module."""
    with tf.Graph().as_default():
        loaded = tensorflow_hub.load(str(folder), tags=[])
        result = loaded.signatures["default"](tf.constant(images))["default"]
        with tf.Session() as session:
            session.run(loaded.variables and [v.initializer for v in loaded.variables] or [])
            session.run(tf.get_collection("saved_model_initializers") or [])
            return session.run(result)


def make_tiny(folder: pathlib.Path) -> None:
    """A module of eight variables with everything a module can hold: assets, two tag sets, losses."""
    words = folder.parent / "words.txt"
    words.write_text("background\ntench\ngoldfish\n")
    spec = tensorflow_hub.create_module_spec(
        lambda is_training: _tiny(is_training, str(words)),
        tags_and_args=[(set(), {"is_training": False}), ({"train"}, {"is_training": True})],
    )
    with tf.Graph().as_default():
        tf.set_random_seed(SEED)
        module = tensorflow_hub.Module(spec)
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.tables_initializer()])
            module.export(str(folder), session)


def _tiny(is_training: bool, words: str) -> None:
    """Convolution, depthwise convolution, batch norm, pool, logits, a word table."""
    images = tf.placeholder(tf.float32, [None, 8, 6, 3], name="images")
    loss = lambda weights: 4e-5 * tf.nn.l2_loss(weights)
    weights = tf.get_variable("conv/weights", [3, 3, 3, 4], regularizer=loss)
    depthwise = tf.get_variable("depthwise/weights", [3, 3, 4, 1])
    x = tf.nn.conv2d(images * 2.0 - 1.0, weights, [1, 2, 2, 1], "SAME")
    x = _batch_norm(tf.nn.depthwise_conv2d(x, depthwise, [1] * 4, "SAME"), is_training)
    pooled = tf.reduce_mean(tf.nn.relu6(x), [1, 2], name="global_pool")
    head = tf.get_variable("logits/weights", [4, 3], regularizer=loss, use_resource=False)
    logits = tf.matmul(pooled, head) + tf.get_variable("logits/biases", [3])
    table = tf.lookup.StaticHashTable(_lines(words), "?")
    top = table.lookup(tf.argmax(logits, axis=1))
    named = {"default": logits, "global_pool": pooled, "label": top}
    tensorflow_hub.add_signature(inputs={"images": images}, outputs={"default": logits})
    tensorflow_hub.add_signature("image_classification", {"images": images}, named)
    tensorflow_hub.attach_image_module_info(_image_module_info(8, 6))


def _batch_norm(x: tf.Tensor, is_training: bool) -> tf.Tensor:
    channels = x.shape[-1]
    make = lambda name, start, **more: tf.get_variable(
        f"BatchNorm/{name}", [channels], initializer=tf.constant_initializer(start), **more
    )
    gamma, beta = make("gamma", 1.25), make("beta", 0.5)
    mean, variance = make("moving_mean", 0.1, trainable=False), make("moving_variance", 0.9, trainable=False)
    if not is_training:
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
    y, batch_mean, batch_variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3)
    for moving, now in ((mean, batch_mean), (variance, batch_variance)):
        update = tf.assign_sub(moving, (moving - now) * 3e-4)
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update.op if hasattr(update, "op") else update)
    return y


def _lines(path: str) -> tf.lookup.TextFileInitializer:
    """Line number -> line of a text file, which becomes an asset of the module."""
    number, line = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
    return tf.lookup.TextFileInitializer(path, tf.int64, number, tf.string, line)


def _image_module_info(height: int, width: int):
    info = tensorflow_hub.ImageModuleInfo()
    info.default_image_size.height, info.default_image_size.width = height, width
    return info


def _placeholders(module, signature: str) -> dict:
    infos = module.get_input_info_dict(signature)
    return {name: tf.placeholder(info.dtype, info.get_shape()) for name, info in infos.items()}


def _shapes(infos: dict) -> dict:
    return {name: (info.dtype.name, str(info.get_shape())) for name, info in sorted(infos.items())}


def _image_size(module) -> list | None:
    try:
        return list(tensorflow_hub.get_expected_image_size(module))
    except ValueError:
        return None
