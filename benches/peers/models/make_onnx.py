"""Writes OUT/model.onnx from OUT/layers.npz: NCHW, batch norm folded, `images [n, 3, h, w]` in [-1, 1] -> logits.

usage: make_onnx.py OUT MULTIPLIER SIZE     (in the environment of requirements.txt)
"""

import pathlib
import sys

import family
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main(out: pathlib.Path, multiplier: float, size: int) -> None:
    weights = np.load(out / "layers.npz")
    nodes, constants = [], [numpy_helper.from_array(np.float32(v), n) for n, v in (("zero", 0), ("six", 6))]
    value, here = "images", size
    for layer in family.layers(multiplier):
        constants += layer_constants(layer, weights)
        nodes += layer_nodes(layer, value, here)
        value, here = layer.name, -(-here // layer.stride)
    constants += [numpy_helper.from_array(weights[f"Logits/{n}"], f"Logits/{n}") for n in ("weights", "bias")]
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["global_pool"]),
        helper.make_node("Flatten", ["global_pool"], ["features"]),
        helper.make_node("Gemm", ["features", "Logits/weights", "Logits/bias"], ["logits"]),
    ]
    onnx.save(model(nodes, constants, size), out / "model.onnx")


def layer_constants(layer: family.Layer, weights) -> list:
    """OIHW weights and bias; depthwise `[channels, 1, 3, 3]`."""
    order = (2, 3, 0, 1) if layer.kind == "depthwise" else (3, 2, 0, 1)
    kernel = np.ascontiguousarray(weights[f"{layer.name}/weights"].transpose(order))
    named = {"weights": kernel, "bias": weights[f"{layer.name}/bias"]}
    return [numpy_helper.from_array(v, f"{layer.name}/{n}") for n, v in named.items()]


def layer_nodes(layer: family.Layer, value: str, size: int) -> list:
    before, after = layer.same_padding(size)
    convolution = helper.make_node(
        "Conv",
        [value, f"{layer.name}/weights", f"{layer.name}/bias"],
        [f"{layer.name}/conv"],
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[before, before, after, after],
        group=layer.inputs if layer.kind == "depthwise" else 1,
    )
    return [convolution, helper.make_node("Clip", [f"{layer.name}/conv", "zero", "six"], [layer.name])]


def model(nodes: list, constants: list, size: int) -> onnx.ModelProto:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, size, size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", family.CLASSES])
    graph = helper.make_graph(nodes, "mobilenet_v1", [images], [logits], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    return made


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
