"""AlexNet, VGG, GoogLeNet, SqueezeNet.

Sources: Krizhevsky et al. 2012, section 3.5 (two groups, as in Caffe); Simonyan and Zisserman
2015, arXiv:1409.1556, table 1, D; Szegedy et al. 2015, arXiv:1409.4842, table 1; Iandola et al.
2016, arXiv:1602.07360, version 1.1 of its authors.
"""

from __future__ import annotations

from edgelearn.ir import Graph
from reference_networks._net import Net

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters, repeats
INCEPTION = (  # 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; after the pool; a pool before
    (64, 96, 128, 16, 32, 32, True), (128, 128, 192, 32, 96, 64, False),
    (192, 96, 208, 16, 48, 64, True), (160, 112, 224, 24, 64, 64, False),
    (128, 128, 256, 24, 64, 64, False), (112, 144, 288, 32, 64, 64, False),
    (256, 160, 320, 32, 128, 128, False), (256, 160, 320, 32, 128, 128, True),
    (384, 192, 384, 48, 128, 128, False),
)  # fmt: skip
FIRE = ((16, 64, True), (16, 64, False), (32, 128, True), (32, 128, False), (48, 192, True),
        (48, 192, False), (64, 256, False), (64, 256, False))  # fmt: skip


def _local_response(net: Net, x: str) -> str:
    """Caffe's normalisation over 5 neighbouring channels, as passes over the map."""
    squares = net.pool(net.b.binary("mul", x, x), "avg", 1, 1)
    return net.b.binary("mul", x, net.b.unary("exp", net.b.unary("log", squares)))


def alexnet() -> Graph:
    net = Net("alexnet", 227, 227, 3)
    x = net.conv(net.input, 96, 11, 4, padding="valid")
    x = net.pool(_local_response(net, x), "max", 3, 2, "ceil")
    x = net.conv(x, 256, 5, groups=2)
    x = net.pool(_local_response(net, x), "max", 3, 2, "ceil")
    x = net.conv(net.conv(x, 384, 3), 384, 3, groups=2)
    x = net.pool(net.conv(x, 256, 3, groups=2), "max", 3, 2, "ceil")
    x = net.dense(net.dense(x, 4096, "relu"), 4096, "relu")
    return net.graph(net.b.softmax(net.dense(x, 1000)))


def vgg16() -> Graph:
    net = Net("vgg16", 224, 224, 3)
    x = net.input
    for filters, repeats in VGG16:
        for _ in range(repeats):
            x = net.conv(x, filters, 3)
        x = net.pool(x, "max")
    x = net.dense(net.dense(x, 4096, "relu"), 4096, "relu")
    return net.graph(net.b.softmax(net.dense(x, 1000)))


def googlenet() -> Graph:
    net = Net("googlenet", 224, 224, 3)
    x = net.pool(net.conv(net.input, 64, 7, 2), "max", 3, 2, "ceil")
    x = net.conv(net.conv(_local_response(net, x), 64), 192, 3)
    x = _local_response(net, x)
    for one, three_in, three, five_in, five, pooled, pools in INCEPTION:
        if pools:
            x = net.pool(x, "max", 3, 2, "ceil")
        x = net.concat(
            net.conv(x, one),
            net.conv(net.conv(x, three_in), three, 3),
            net.conv(net.conv(x, five_in), five, 5),
            net.conv(net.pool(x, "max", 3, 1), pooled),
        )
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), 1000)))


def fire(net: Net, x: str, squeeze: int, expand: int) -> str:
    x = net.conv(x, squeeze)
    return net.concat(net.conv(x, expand), net.conv(x, expand, 3))


def squeeze_body(net: Net) -> list[str]:
    """The maps after each fire module."""
    maps, x = [], net.conv(net.input, 64, 3, 2, padding="valid")
    for squeeze, expand, pools in FIRE:
        if pools:
            x = net.pool(x, "max", 3, 2, "ceil")
        x = fire(net, x, squeeze, expand)
        maps.append(x)
    return maps


def squeezenet(size: int = 227, classes: int = 1000) -> Graph:
    net = Net("squeezenet", size, size, 3)
    x = net.conv(squeeze_body(net)[-1], classes)
    return net.graph(net.b.softmax(net.global_pool(x)))
