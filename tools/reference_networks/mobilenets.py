"""MobileNet, three generations.

Sources: Howard et al. 2017, arXiv:1704.04861, table 1; Sandler et al. 2018, arXiv:1801.04381,
table 2; Howard et al. 2019, arXiv:1905.02244, tables 1 and 2.
"""

from __future__ import annotations

from typing import TypeAlias

from edgelearn.ir import Graph
from reference_networks._net import Net, divisible

Rows: TypeAlias = tuple[tuple[int, int, int, bool, str, int], ...]

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2))
V2 = (  # expansion, channels, repeats, stride
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
LARGE: Rows = (  # kernel, expanded, channels, squeeze and excite, activation, stride
    (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hswish", 2), (3, 200, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1), (3, 184, 80, False, "hswish", 1),
    (3, 480, 112, True, "hswish", 1), (3, 672, 112, True, "hswish", 1),
    (5, 672, 160, True, "hswish", 2), (5, 960, 160, True, "hswish", 1),
    (5, 960, 160, True, "hswish", 1),
)  # fmt: skip
# As an early PyTorch port had it, which ncnn's benchmark took over.
LARGE_PORT: Rows = (*LARGE[:12], (5, 672, 160, True, "hswish", 1), (5, 672, 160, True, "hswish", 2),
              LARGE[14])  # fmt: skip
SMALL: Rows = (
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hswish", 2), (5, 240, 40, True, "hswish", 1),
    (5, 240, 40, True, "hswish", 1), (5, 120, 48, True, "hswish", 1),
    (5, 144, 48, True, "hswish", 1), (5, 288, 96, True, "hswish", 2),
    (5, 576, 96, True, "hswish", 1), (5, 576, 96, True, "hswish", 1),
)  # fmt: skip


def v1_body(net: Net, x: str, width: float = 1.0) -> tuple[str, str]:
    """The last two maps that detectors read: at a stride of 16 and of 32."""
    x = net.conv(x, max(int(32 * width), 8), 3, 2, "relu6")
    middle = x
    for filters, stride in (*V1, (1024, 1)):
        if filters == 1024 and stride == 2:
            middle = x
        x = net.conv(net.depthwise(x, 3, stride, "relu6"), max(int(filters * width), 8), 1, 1,
                     "relu6")  # fmt: skip
    return middle, x


def v1(width: float = 1.0, size: int = 224, classes: int = 1001) -> Graph:
    net = Net(f"mobilenet-v1-{width}-{size}", size, size, 3)
    _, x = v1_body(net, net.input, width)
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), classes)))


def v2_body(net: Net, x: str, width: float = 1.0) -> tuple[str, str]:
    """The expansion at a stride of 16 that detectors read, and the last map."""
    x, middle = net.conv(x, divisible(32 * width), 3, 2, "relu6"), x
    for expansion, channels, repeats, stride in V2:
        for i in range(repeats):
            y, out = x, divisible(channels * width)
            if expansion > 1:
                y = net.conv(y, expansion * net.channels(x), 1, 1, "relu6")
            if (channels, i) == (160, 0):
                middle = y
            y = net.depthwise(y, 3, stride if i == 0 else 1, "relu6")
            y = net.conv(y, out, 1, 1, None)
            x = net.add(x, y) if net.shape(x) == net.shape(y) else y
    return middle, net.conv(x, divisible(1280 * max(width, 1.0)), 1, 1, "relu6")


def v2(width: float = 1.0, size: int = 224, classes: int = 1001) -> Graph:
    net = Net(f"mobilenet-v2-{width}-{size}", size, size, 3)
    _, x = v2_body(net, net.input, width)
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), classes)))


def v3(rows: Rows = LARGE, width: float = 1.0, *, minimal: bool = False) -> Graph:
    """Large or small by `rows`; `minimal` has no squeezing, small kernels and plain relu."""
    net = Net(f"mobilenet-v3-{width}", 224, 224, 3)
    top = "relu" if minimal else "hswish"
    x, before = net.conv(net.input, divisible(16 * width), 3, 2, top), 16
    for kernel, expanded, channels, squeezes, kind, stride in rows:
        act = "relu" if minimal else kind
        inner, y = divisible(expanded / before * net.channels(x)), x
        if expanded != before:
            y = net.conv(y, inner, 1, 1, act)
        y = net.depthwise(y, 3 if minimal else kernel, stride, act)
        if squeezes and not minimal:
            y = net.squeeze_excite(y, divisible(inner / 4), gate="hsigmoid")
        y = net.conv(y, divisible(channels * width), 1, 1, None)
        x, before = net.add(x, y) if net.shape(x) == net.shape(y) else y, channels
    x = net.conv(x, divisible(6 * net.channels(x)), 1, 1, top)
    x = net.dense(net.global_pool(x), 1280 if rows[-1][1] == 960 else 1024, top)
    return net.graph(net.b.softmax(net.dense(x, 1001)))
