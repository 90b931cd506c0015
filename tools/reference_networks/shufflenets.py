"""ShuffleNet, two generations, and NanoDet on the second.

Sources: Zhang et al. 2018, arXiv:1707.01083, table 1 (3 groups); Ma et al. 2018,
arXiv:1807.11164, table 5 (width 1); NanoDet-m of RangiLyu, 2020.
"""

from __future__ import annotations

from edgelearn.ir import Graph
from reference_networks._net import Net

V1 = ((240, 4), (480, 8), (960, 4))  # channels, blocks
V2 = ((116, 4), (232, 8), (464, 4))


def v1(groups: int = 3) -> Graph:
    net = Net("shufflenet-v1", 224, 224, 3)
    x = net.pool(net.conv(net.input, 24, 3, 2), "max", 3, 2)
    for channels, blocks in V1:
        for i in range(blocks):
            before = net.channels(x)
            step, out = (2, channels - before) if i == 0 else (1, channels)
            first = 1 if before == 24 else groups  # few channels are not split
            inner = out // 4
            y = net.conv(x, inner, groups=first)
            y = net.depthwise(net.shuffle(y, groups) if first > 1 else y, 3, step, None)
            y = net.conv(y, out, act=None, groups=groups)
            if i == 0:
                x = net.act(net.concat(net.pool(x, "avg", 3, 2), y), "relu")
            else:
                x = net.add(x, y, "relu")
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), 1000)))


def v2_body(net: Net, act: str) -> list[str]:
    """The maps after each stage."""
    maps, x = [], net.pool(net.conv(net.input, 24, 3, 2, act), "max", 3, 2)
    for channels, blocks in V2:
        half = channels // 2
        for i in range(blocks):
            if i == 0:
                left = net.conv(net.depthwise(x, 3, 2, None), half, 1, 1, act)
                right, step = x, 2
            else:
                left, right = (net.channel_slice(x, a, a + half) for a in (0, half))
                step = 1
            right = net.conv(right, half, 1, 1, act)
            right = net.conv(net.depthwise(right, 3, step, None), half, 1, 1, act)
            x = net.shuffle(net.concat(left, right), 2)
        maps.append(x)
    return maps


def v2() -> Graph:
    net = Net("shufflenet-v2", 224, 224, 3)
    x = net.conv(v2_body(net, "relu")[-1], 1024)
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), 1000)))


def nanodet() -> Graph:
    net = Net("nanodet-m", 320, 320, 3)
    fine, middle, coarse = (net.conv(x, 96, 1, 1, None) for x in v2_body(net, "leaky"))
    middle = net.add(middle, net.upsample(coarse))
    fine = net.add(fine, net.upsample(middle))
    middle = net.add(middle, net.pool(fine, "avg"))
    coarse = net.add(coarse, net.pool(middle, "avg"))
    outputs = []
    for level in (fine, middle, coarse):
        x = level
        for _ in range(2):
            x = net.conv(net.depthwise(x, 3, 1, "leaky"), 96, 1, 1, "leaky")
        x = net.conv(x, 112, 1, 1, None)
        classes = net.act(net.channel_slice(x, 0, 80), "sigmoid")
        outputs += [classes, net.channel_slice(x, 80, 112)]
    return net.graph(*outputs)
