"""Networks whose latencies were published, built from the papers that describe them.

They have the shapes and no weights: for fitting device profiles, and for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edgelearn.ir import Graph
from reference_networks import (
    classics,
    detectors,
    efficientnets,
    mobilenets,
    resnets,
    shufflenets,
    tiny,
)

__all__ = ["NETWORKS", "network"]

NETWORKS: dict[str, tuple[str, Callable[[], Graph]]] = {
    "alexnet": ("alexnet", classics.alexnet),
    "vgg16": ("vgg", classics.vgg16),
    "googlenet": ("inception", classics.googlenet),
    "squeezenet": ("squeezenet", classics.squeezenet),
    "squeezenet_ssd": ("squeezenet", detectors.squeezenet_ssd),
    "resnet18": ("resnet", resnets.resnet18),
    "resnet50": ("resnet", resnets.resnet50),
    "resnet50-stride-first": ("resnet", lambda: resnets.resnet50(stride_first=True)),
    "regnety_400m": ("regnet", resnets.regnety_400m),
    "mobilenet_ssd": ("mobilenet-v1", detectors.mobilenet_ssd),
    "mobilenetv2_yolov3": ("mobilenet-v2", detectors.mobilenetv2_yolov3),
    "mobilenet-v3-large-port": ("mobilenet-v3", lambda: mobilenets.v3(mobilenets.LARGE_PORT)),
    "efficientnet_b0": ("efficientnet", efficientnets.b0),
    "efficientnetv2_b0": ("efficientnet-v2", efficientnets.v2_b0),
    "mnasnet": ("searched", lambda: efficientnets.searched("mnasnet", efficientnets.MNAS)),
    "proxylessnasnet": (
        "searched",
        lambda: efficientnets.searched("proxylessnas", efficientnets.PROXYLESS),
    ),
    "shufflenet": ("shufflenet", shufflenets.v1),
    "shufflenet_v2": ("shufflenet", shufflenets.v2),
    "nanodet_m": ("shufflenet", shufflenets.nanodet),
    "yolov4-tiny": ("yolo", detectors.yolov4_tiny),
    "blazeface": ("blazeface", detectors.blazeface),
    "ds_cnn_kws": ("ds-cnn", tiny.keyword_spotting),
    "mobilenet_v1_0.25_vww": ("mobilenet-v1", tiny.visual_wake_words),
    "resnet8_cifar10": ("resnet", tiny.image_classification),
    "fc_autoencoder_ad": ("autoencoder", tiny.anomaly_detection),
}
"""The family and the maker of each network that has no size in its name."""


def network(name: str) -> tuple[str, Graph] | None:
    """The family and the Graph of the network `name`; None if it is not known.

    Sized ones are called FAMILY-WIDTH-PIXELS or, of other than ImageNet's classes, -CLASSES.

    >>> network("mobilenet-v1-0.25-128")[0]
    'mobilenet-v1'
    """
    if name in NETWORKS:
        family, make = NETWORKS[name]
        return family, make()
    if parts := re.fullmatch(r"(mobilenet-v[12])-([\d.]+)-(\d+)(?:-(\d+))?", name):
        make_sized = mobilenets.v1 if parts[1] == "mobilenet-v1" else mobilenets.v2
        return parts[1], make_sized(float(parts[2]), int(parts[3]), int(parts[4] or 1001))
    if parts := re.fullmatch(r"squeezenet-(\d+)-(\d+)", name):
        return "squeezenet", classics.squeezenet(int(parts[1]), int(parts[2]))
    if parts := re.fullmatch(r"mobilenet-v3-(large|small|small-minimalistic)_224_([\d.]+)", name):
        rows = mobilenets.LARGE if parts[1] == "large" else mobilenets.SMALL
        minimal = parts[1].endswith("minimalistic")
        return "mobilenet-v3", mobilenets.v3(rows, float(parts[2]), minimal=minimal)
    if parts := re.fullmatch(r"efficientnet-lite([0-4])", name):
        return "efficientnet-lite", efficientnets.lite(int(parts[1]))
    return None
