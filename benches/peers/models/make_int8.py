"""Writes OUT/model.onnx from OUT/model.tflite, a MobileNet V1 of int8: the same integers, scales and zero points
between QuantizeLinear and DequantizeLinear; NCHW, `images [n, 3, h, w]` in [-1, 1] -> softmax in float32.

usage: make_int8.py OUT     (in the environment of requirements.txt)
"""

import pathlib
import sys

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import TensorProto, helper, numpy_helper

PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


class Network:
    """The ONNX graph so far, and the tensors of the TFLite file by their index."""

    def __init__(self, file: pathlib.Path) -> None:
        self.interpreter = Interpreter(str(file), experimental_op_resolver_type=PLAIN)
        self.interpreter.allocate_tensors()
        self.details = {tensor["index"]: tensor for tensor in self.interpreter.get_tensor_details()}
        self.nodes, self.constants = [], []
        self.size = self.details[self.interpreter.get_input_details()[0]["index"]]["shape"][1].item()

    def build(self) -> onnx.ModelProto:
        operators = self.interpreter._get_ops_details()
        self.quantized(operators[0]["inputs"][0], "images")
        for operator in operators:
            self.add(operator["op_name"], [int(i) for i in operator["inputs"]], int(operator["outputs"][0]))
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, self.size, self.size])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", None])
        graph = helper.make_graph(self.nodes, "mobilenet_v1_int8", [images], [logits], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(made)
        return made

    def add(self, name: str, inputs: list[int], output: int) -> None:
        """One operator; its quantised output is `t<index>`, dequantised `f<index>`."""
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self.convolution(name, inputs, output)
        elif name == "AVERAGE_POOL_2D":
            self.node("GlobalAveragePool", [f"f{inputs[0]}"], f"r{output}")
            self.quantized(output, f"r{output}")
        elif name == "RESHAPE":
            self.node("Flatten", [f"f{inputs[0]}"], f"f{output}")
        elif name == "SOFTMAX":
            self.node("Softmax", [f"f{inputs[0]}"], "logits", axis=1)
        else:
            sys.exit(f"{name} is no operator of MobileNet V1")

    def convolution(self, name: str, inputs: list[int], output: int) -> None:
        data, weights, bias = inputs
        depthwise = name != "CONV_2D"
        axis = 3 if depthwise else 0
        values = self.interpreter.get_tensor(weights)
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        parameters = self.details[weights]["quantization_parameters"]
        assert parameters["quantized_dimension"] == axis or len(parameters["scales"]) == 1
        scales = np.broadcast_to(parameters["scales"], values.shape[axis]).astype(np.float32)
        self.constant(f"w{weights}", np.ascontiguousarray(values.transpose(order)))
        self.dequantized(f"w{weights}", f"W{weights}", scales, np.zeros(len(scales), np.int8))
        self.constant(f"b{bias}", self.interpreter.get_tensor(bias))
        steps = (scales * self.details[data]["quantization"][0]).astype(np.float32)
        self.dequantized(f"b{bias}", f"B{bias}", steps, np.zeros(len(steps), np.int32))
        size, made = (self.details[i]["shape"][1].item() for i in (data, output))
        kernel, stride = values.shape[1], -(-size // made)
        total = max((made - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        self.node(
            "Conv",
            [f"f{data}", f"W{weights}", f"B{bias}"],
            f"r{output}",
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[before, before, after, after],
            group=int(values.shape[3]) if depthwise else 1,
        )
        # Relu6 is in the range that the output's scale and zero point leave.
        self.quantized(output, f"r{output}")

    def quantized(self, index: int, real: str) -> None:
        """`real` rounded to the integers of a tensor, and read again."""
        scale, zero = self.details[index]["quantization"]
        self.constant(f"s{index}", np.float32(scale))
        self.constant(f"z{index}", np.int8(zero))
        self.node("QuantizeLinear", [real, f"s{index}", f"z{index}"], f"t{index}")
        self.node("DequantizeLinear", [f"t{index}", f"s{index}", f"z{index}"], f"f{index}")

    def dequantized(self, name: str, real: str, scales: np.ndarray, zeros: np.ndarray) -> None:
        self.constant(f"{name}_scales", scales)
        self.constant(f"{name}_zeros", zeros)
        self.node("DequantizeLinear", [name, f"{name}_scales", f"{name}_zeros"], real, axis=0)

    def constant(self, name: str, value) -> None:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    onnx.save(Network(folder / "model.tflite").build(), folder / "model.onnx")
