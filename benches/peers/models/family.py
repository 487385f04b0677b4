"""MobileNet V1 by its numbers: which layers a member of the family has. No framework here."""

import dataclasses

CLASSES = 1001
EPSILON = 1e-3
# One row a layer group: stride of its 3x3 convolution, output channels at multiplier 1. The first is
# a full convolution, the others a depthwise 3x3 followed by a pointwise 1x1.
GROUPS = [(2, 32), (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)]
GROUPS += [(1, 512)] * 5 + [(2, 1024), (1, 1024)]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One convolution with batch norm and relu6; `name` is slim's."""

    name: str
    kind: str  # "full", "depthwise" or "pointwise"
    stride: int
    inputs: int
    outputs: int

    @property
    def kernel(self) -> int:
        return 1 if self.kind == "pointwise" else 3

    @property
    def weights_name(self) -> str:
        return f"MobilenetV1/{self.name}/" + ("depthwise_weights" if self.kind == "depthwise" else "weights")

    @property
    def weights_shape(self) -> list[int]:
        """HWIO; depthwise `[3, 3, channels, 1]`."""
        outputs = 1 if self.kind == "depthwise" else self.outputs
        return [self.kernel, self.kernel, self.inputs, outputs]

    def same_padding(self, size: int) -> tuple[int, int]:
        """Zeros before and after, as TensorFlow's SAME puts them for inputs of `size`."""
        total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2


def layers(multiplier: float) -> list[Layer]:
    """The 27 convolutions of the network, without the classifier."""
    found, channels = [], 3
    for index, (stride, width) in enumerate(GROUPS):
        outputs = max(8, int(width * multiplier))
        if index == 0:
            found.append(Layer("Conv2d_0", "full", stride, channels, outputs))
        else:
            found.append(Layer(f"Conv2d_{index}_depthwise", "depthwise", stride, channels, channels))
            found.append(Layer(f"Conv2d_{index}_pointwise", "pointwise", 1, channels, outputs))
        channels = outputs
    return found
