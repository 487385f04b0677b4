"""Writes OUT/model.param and OUT/model.bin for ncnn from OUT/layers.npz: input in [-1, 1] -> logits.

usage: make_ncnn.py OUT MULTIPLIER SIZE     (in the environment of requirements.txt)

ncnn's text format: a magic number, counts of layers and blobs, then one line a layer: type, name,
counts of inputs and outputs, their names, `key=value` pairs by number. Weights follow one another in
the .bin file, each kernel behind a tag of four zero bytes (plain float32), biases without.
"""

import pathlib
import sys

import family
import numpy as np

MAGIC = 7767517


def main(out: pathlib.Path, multiplier: float, size: int) -> None:
    weights = np.load(out / "layers.npz")
    lines, data = ["Input images 0 1 images"], bytearray()
    value, here = "images", size
    for layer in family.layers(multiplier):
        lines.append(layer_line(layer, value, here))
        order = (2, 3, 0, 1) if layer.kind == "depthwise" else (3, 2, 0, 1)
        data += tagged(weights[f"{layer.name}/weights"].transpose(order), weights[f"{layer.name}/bias"])
        value, here = layer.name, -(-here // layer.stride)
    head = weights["Logits/weights"]
    lines.append(f"Pooling global_pool 1 1 {value} global_pool 0=1 4=1")
    lines.append(f"InnerProduct logits 1 1 global_pool logits 0={head.shape[1]} 1=1 2={head.size}")
    data += tagged(head.T, weights["Logits/bias"])
    (out / "model.param").write_text("\n".join([str(MAGIC), f"{len(lines)} {len(lines)}", *lines, ""]))
    (out / "model.bin").write_bytes(data)


def layer_line(layer: family.Layer, value: str, size: int) -> str:
    """0 outputs, 1 kernel, 3 stride, 4/15/14/16 padding left/right/top/bottom, 5 bias, 6 weight
    count, 7 groups, 9 activation (3 is clip), -23310 its bounds."""
    before, after = layer.same_padding(size)
    kind = "ConvolutionDepthWise" if layer.kind == "depthwise" else "Convolution"
    pairs = {0: layer.outputs, 1: layer.kernel, 3: layer.stride}
    pairs |= {4: before, 15: after, 14: before, 16: after, 5: 1, 6: int(np.prod(layer.weights_shape))}
    if layer.kind == "depthwise":
        pairs[7] = layer.inputs
    settings = " ".join(f"{key}={value}" for key, value in pairs.items())
    return f"{kind} {layer.name} 1 1 {value} {layer.name} {settings} 9=3 -23310=2,0.0,6.0"


def tagged(kernel: np.ndarray, bias: np.ndarray) -> bytes:
    return b"\0\0\0\0" + np.ascontiguousarray(kernel).tobytes() + bias.tobytes()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
