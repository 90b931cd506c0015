"""EfficientNet, its Lite form and its second generation; MnasNet and ProxylessNAS.

Sources: Tan and Le 2019, arXiv:1905.11946, table 1; the authors' release notes of
EfficientNet-Lite (2020); Tan and Le 2021, arXiv:2104.00298, table 4; Tan et al. 2019,
arXiv:1807.11626, figure 7; Cai et al. 2019, arXiv:1812.00332, figure 4 (mobile).
"""

from __future__ import annotations

import math

from edgelearn.ir import Graph
from reference_networks._net import Net, divisible

B0 = (  # kernel, expansion, channels, repeats, stride
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
)  # fmt: skip
LITE = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))
V2_FUSED = ((1, 16, 1, 1), (4, 32, 2, 2), (4, 48, 2, 2))  # expansion, channels, repeats, stride
V2_SQUEEZED = ((4, 96, 3, 2), (6, 112, 5, 1), (6, 192, 8, 2))
MNAS = (
    (3, 1, 16, 1, 1), (3, 3, 24, 1, 2), (3, 3, 24, 2, 1), (5, 3, 40, 3, 2), (5, 6, 80, 3, 2),
    (3, 6, 96, 2, 1), (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
)  # fmt: skip
PROXYLESS = (
    (3, 1, 32, 1, 1), (5, 1.5, 32, 1, 2), (3, 3, 32, 1, 1), (7, 3, 40, 1, 2), (3, 3, 40, 1, 1),
    (5, 3, 40, 2, 1), (7, 6, 80, 1, 2), (5, 3, 80, 3, 1), (5, 6, 96, 1, 1), (5, 3, 96, 3, 1),
    (7, 6, 192, 1, 2), (7, 6, 192, 1, 1), (7, 3, 192, 2, 1), (7, 6, 320, 1, 1),
)  # fmt: skip


def _mobile(net: Net, x: str, kernel: int, inner: int, out: int, stride: int, act: str,
            squeeze: int = 0) -> str:  # fmt: skip
    """Expand, filter channel by channel, squeeze to `out`; a shortcut where shapes agree."""
    y = net.conv(x, inner, 1, 1, act) if inner != net.channels(x) else x
    y = net.depthwise(y, kernel, stride, act)
    if squeeze:
        y = net.squeeze_excite(y, squeeze, act)
    y = net.conv(y, out, 1, 1, None)
    return net.add(x, y) if net.shape(x) == net.shape(y) else y


def _head(net: Net, x: str, width: int, act: str, classes: int) -> Graph:
    x = net.global_pool(net.conv(x, width, 1, 1, act))
    return net.graph(net.b.softmax(net.dense(x, classes)))


def b0() -> Graph:
    net = Net("efficientnet-b0", 224, 224, 3)
    x = net.conv(net.input, 32, 3, 2, "swish")
    for kernel, expansion, channels, repeats, stride in B0:
        for i in range(repeats):
            before = net.channels(x)
            x = _mobile(net, x, kernel, expansion * before, channels, stride if i == 0 else 1,
                        "swish", before // 4)  # fmt: skip
    return _head(net, x, 1280, "swish", 1000)


def lite(number: int) -> Graph:
    """Width and depth scaled, but for stem, head, and the repeats of the first and last stage."""
    width, depth, size = LITE[number]
    net = Net(f"efficientnet-lite{number}", size, size, 3)
    x = net.conv(net.input, 32, 3, 2, "relu6")
    for stage, (kernel, expansion, channels, repeats, stride) in enumerate(B0):
        scaled = repeats if stage in (0, len(B0) - 1) else math.ceil(repeats * depth)
        for i in range(scaled):
            x = _mobile(net, x, kernel, expansion * net.channels(x), divisible(channels * width),
                        stride if i == 0 else 1, "relu6")  # fmt: skip
    return _head(net, x, 1280, "relu6", 1000)


def v2_b0() -> Graph:
    net = Net("efficientnetv2-b0", 224, 224, 3)
    x = net.conv(net.input, 32, 3, 2, "swish")
    for expansion, channels, repeats, stride in V2_FUSED:
        for i in range(repeats):
            step = stride if i == 0 else 1
            if expansion == 1:
                x = net.conv(x, channels, 3, step, "swish")
                continue
            y = net.conv(x, expansion * net.channels(x), 3, step, "swish")
            y = net.conv(y, channels, 1, 1, None)
            x = net.add(x, y) if net.shape(x) == net.shape(y) else y
    for expansion, channels, repeats, stride in V2_SQUEEZED:
        for i in range(repeats):
            before = net.channels(x)
            x = _mobile(net, x, 3, expansion * before, channels, stride if i == 0 else 1, "swish",
                        before // 4)  # fmt: skip
    return _head(net, x, 1280, "swish", 1000)


def searched(name: str, rows: tuple[tuple[int, float, int, int, int], ...]) -> Graph:
    """MnasNet and ProxylessNAS: the blocks a search has chosen, without squeezing."""
    net = Net(name, 224, 224, 3)
    x = net.conv(net.input, 32, 3, 2)
    for kernel, expansion, channels, repeats, stride in rows:
        for i in range(repeats):
            inner = int(expansion * net.channels(x))
            x = _mobile(net, x, kernel, inner, channels, stride if i == 0 else 1, "relu")
    return _head(net, x, 1280, "relu", 1000)
