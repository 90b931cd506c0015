"""The four networks of MLPerf Tiny.

Source: Banbury et al. 2021, arXiv:2106.07597, section 4, and the models of its repository.
"""

from __future__ import annotations

from edgelearn.ir import Graph
from reference_networks import mobilenets
from reference_networks._net import Net


def keyword_spotting() -> Graph:
    net = Net("ds-cnn-kws", 49, 10, 1)
    x = net.conv(net.input, 64, (10, 4), 2)
    for _ in range(4):
        x = net.conv(net.depthwise(x), 64)
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), 12)))


def visual_wake_words() -> Graph:
    return mobilenets.v1(0.25, 96, 2)


def image_classification() -> Graph:
    net = Net("resnet8-cifar10", 32, 32, 3)
    x = net.conv(net.input, 16, 3)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.conv(net.conv(x, width, 3, stride), width, 3, 1, None)
        if net.shape(x) != net.shape(y):
            x = net.conv(x, width, 1, stride, None)
        x = net.add(x, y, "relu")
    return net.graph(net.b.softmax(net.dense(net.global_pool(x), 10)))


def anomaly_detection() -> Graph:
    net = Net("fc-autoencoder-ad", 640)
    x = net.input
    for units in (*[128] * 4, 8, *[128] * 4):
        x = net.dense(x, units, "relu")
    return net.graph(net.dense(x, 640))
