"""PyTorch: MobileNet V1 0.25/192 in training mode, SGD with momentum.

Variants: `contiguous` and `channels_last` memory, and `compiled`: `torch.compile` of the latter.
"""

import torch
from steps import BLOCKS, CLASSES, LEARNING_RATE, MOMENTUM, SIZE, WEIGHT_DECAY, serve
from torch import nn


def layer(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> list:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs, eps=1e-3, momentum=3e-4), nn.ReLU6(inplace=True)]


def network() -> nn.Module:
    layers, channels = layer(3, 8, 3, 2), 8
    for outputs, stride in BLOCKS:
        layers += layer(channels, channels, 3, stride, groups=channels) + layer(channels, outputs, 1, 1)
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Dropout(1e-3), nn.Conv2d(channels, CLASSES, 1), nn.Flatten())


def load(batch: int, threads: int, variant: str):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    form = torch.contiguous_format if variant == "contiguous" else torch.channels_last
    model = network().to(memory_format=form).train()
    images = torch.rand(batch, 3, SIZE, SIZE).to(memory_format=form)
    labels = torch.arange(batch) % CLASSES
    update = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=True)
    loss = nn.CrossEntropyLoss()
    forward = torch.compile(lambda: loss(model(images), labels)) if variant == "compiled" else None

    def step():
        update.zero_grad(set_to_none=True)
        (forward() if forward else loss(model(images), labels)).backward()
        update.step()

    return torch.__version__, sum(p.numel() for p in model.parameters()), step


serve(load)
