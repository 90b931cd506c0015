"""ResNet and RegNetY.

Sources: He et al. 2016, arXiv:1512.03385, table 1; Radosavovic et al. 2020, arXiv:2003.13678,
RegNetY-400MF of the model zoo that came with it.
"""

from __future__ import annotations

from edgelearn.ir import Graph
from reference_networks._net import Net

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # width, stride
REGNET = ((48, 1), (104, 3), (208, 6), (440, 6))  # width, blocks; groups of 8 channels


def _stem(net: Net) -> str:
    return net.pool(net.conv(net.input, 64, 7, 2), "max", 3, 2)


def _classify(net: Net, x: str, classes: int = 1000) -> Graph:
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), classes)))


def resnet18() -> Graph:
    net = Net("resnet18", 224, 224, 3)
    x = _stem(net)
    for width, stride in STAGES:
        for step in (stride, 1):
            y = net.conv(net.conv(x, width, 3, step), width, 3, 1, None)
            if net.shape(x) != net.shape(y):
                x = net.conv(x, width, 1, step, None)
            x = net.add(x, y, "relu")
    return _classify(net, x)


def resnet50(*, stride_first: bool = False) -> Graph:
    """The stride in the 3x3 convolution, or as first published in the 1x1 before it."""
    net = Net("resnet50", 224, 224, 3)
    x = _stem(net)
    for (width, stride), blocks in zip(STAGES, (3, 4, 6, 3), strict=True):
        for i in range(blocks):
            step = stride if i == 0 else 1
            first, second = (step, 1) if stride_first else (1, step)
            y = net.conv(net.conv(x, width, 1, first), width, 3, second)
            y = net.conv(y, 4 * width, 1, 1, None)
            if net.shape(x) != net.shape(y):
                x = net.conv(x, 4 * width, 1, step, None)
            x = net.add(x, y, "relu")
    return _classify(net, x)


def regnety_400m() -> Graph:
    net = Net("regnety-400m", 224, 224, 3)
    x = net.conv(net.input, 32, 3, 2)
    for width, blocks in REGNET:
        for i in range(blocks):
            step, before = (2, net.channels(x)) if i == 0 else (1, width)
            y = net.conv(net.conv(x, width), width, 3, step, groups=width // 8)
            y = net.conv(net.squeeze_excite(y, before // 4), width, 1, 1, None)
            if net.shape(x) != net.shape(y):
                x = net.conv(x, width, 1, step, None)
            x = net.add(x, y, "relu")
    return _classify(net, x)
