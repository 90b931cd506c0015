"""Detectors: SSD on MobileNet and SqueezeNet, YOLO, BlazeFace. Boxes are not selected.

Sources: Liu et al. 2016, arXiv:1512.02325, in the forms of chuanqi305 (MobileNet-SSD, 2017) and
Caffe's SqueezeNet-SSD; eric612's MobileNetV2-YOLOv3; Bochkovskiy's yolov4-tiny.cfg (2020);
Bazarevsky et al. 2019, arXiv:1907.05047, table 4.
"""

from __future__ import annotations

from edgelearn.ir import Graph
from reference_networks import classics, mobilenets
from reference_networks._net import Net

BLAZE = (  # channels, stride
    (24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1),
    (88, 1), (96, 2), (96, 1), (96, 1), (96, 1), (96, 1),
)  # fmt: skip


def _boxes(net: Net, maps: list[tuple[str, int]], kernel: int) -> Graph:
    """For each map and its number of boxes: their places, and probabilities of 21 classes."""
    places, classes = (
        net.concat(*(net.rows(net.conv(x, width * boxes, kernel, 1, None), width)
                     for x, boxes in maps), axis=0)
        for width in (4, 21)
    )  # fmt: skip
    return net.graph(places, net.b.softmax(classes))


def mobilenet_ssd() -> Graph:
    net = Net("mobilenet-ssd", 300, 300, 3)
    middle, x = mobilenets.v1_body(net, net.input)
    maps = [(middle, 3), (x, 6)]
    for inner, filters in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = net.conv(net.conv(x, inner), filters, 3, 2)
        maps.append((x, 6))
    return _boxes(net, maps, 1)


def squeezenet_ssd() -> Graph:
    net = Net("squeezenet-ssd", 300, 300, 3)
    fires = classics.squeeze_body(net)
    maps, x = [(fires[3], 4), (fires[7], 6)], fires[7]
    for _ in range(2):
        x = classics.fire(net, net.pool(x, "max", 3, 2, "ceil"), 96, 384)
        maps.append((x, 6))
    for inner, filters, boxes in ((128, 256, 6), (64, 128, 4)):
        x = net.conv(net.conv(x, inner), filters, 3, 2)
        maps.append((x, boxes))
    return _boxes(net, maps, 3)


def mobilenetv2_yolov3() -> Graph:
    net = Net("mobilenetv2-yolov3", 352, 352, 3)
    middle, x = mobilenets.v2_body(net, net.input)
    x = net.conv(net.depthwise(x), 576)
    y = net.conv(net.depthwise(middle), 576)
    y = net.add(net.upsample(x), y)
    y = net.conv(net.depthwise(y), 576)
    return net.graph(*(net.conv(z, 75, 1, 1, None) for z in (x, y)))


def yolov4_tiny() -> Graph:
    net = Net("yolov4-tiny", 416, 416, 3)
    x = net.conv(net.conv(net.input, 32, 3, 2, "leaky"), 64, 3, 2, "leaky")
    route = x
    for width in (64, 128, 256):
        x = net.conv(x, width, 3, 1, "leaky")
        half = net.conv(net.channel_slice(x, width // 2, width), width // 2, 3, 1, "leaky")
        both = net.concat(net.conv(half, width // 2, 3, 1, "leaky"), half)
        route = net.conv(both, width, 1, 1, "leaky")
        x = net.pool(net.concat(x, route), "max")
    x = net.conv(net.conv(x, 512, 3, 1, "leaky"), 256, 1, 1, "leaky")
    coarse = net.conv(x, 512, 3, 1, "leaky")
    fine = net.concat(net.upsample(net.conv(x, 128, 1, 1, "leaky")), route)
    fine = net.conv(fine, 256, 3, 1, "leaky")
    return net.graph(*(net.conv(z, 255, 1, 1, None) for z in (coarse, fine)))


def blazeface() -> Graph:
    net = Net("blazeface", 128, 128, 3)
    x = net.conv(net.input, 24, 5, 2)
    for channels, stride in BLAZE:
        y = net.conv(net.depthwise(x, 3, stride, None), channels, 1, 1, None)
        if stride == 2:
            x = net.pool(x, "max")
        lacks = channels - net.channels(x)
        if lacks:
            x = net.concat(x, net.constant(*net.shape(x)[:3], lacks))
        x = net.add(x, y, "relu")
    return net.graph(x)
