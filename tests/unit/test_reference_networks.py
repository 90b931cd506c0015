"""Reference networks against the sizes that their authors published."""

from __future__ import annotations

import pytest

from firmware_sim.workload import kernels
from reference_networks import NETWORKS, network

# Multiply-accumulates and parameters in millions, from the papers and release notes that the
# modules of tools/reference_networks name; those of efficientnet-lite count biases as well.
PUBLISHED = {
    "alexnet": (724, 61.0),
    "vgg16": (15_470, 138.4),
    "googlenet": (1_582, 7.0),
    "squeezenet": (388, 1.24),
    "squeezenet-224-1000": (349, 1.24),
    "resnet18": (1_814, 11.7),
    "resnet50": (4_089, 25.5),
    "resnet50-stride-first": (3_858, 25.5),
    "regnety_400m": (400, 4.3),
    "mobilenet-v1-1.0-224": (569, 4.24),
    "mobilenet-v1-0.25-128": (14, 0.47),
    "mobilenet-v2-1.0-224": (300, 3.47),
    "mobilenet-v2-0.35-128": (20, 1.66),
    "mobilenet-v2-1.3-224": (509, 5.34),
    "mobilenet-v3-large_224_1.0": (217, 5.4),
    "mobilenet-v3-large_224_0.75": (155, 4.0),
    "mobilenet-v3-small_224_1.0": (56, 2.5),
    "efficientnet_b0": (390, 5.3),
    "efficientnet-lite1": (631, 5.4),
    "efficientnet-lite2": (899, 6.1),
    "efficientnet-lite3": (1_440, 8.2),
    "efficientnet-lite4": (2_640, 13.0),
    "efficientnetv2_b0": (720, 7.1),
    "mnasnet": (315, 4.4),
    "shufflenet_v2": (146, 2.3),
    "yolov4-tiny": (3_450, 6.06),
    "ds_cnn_kws": (2.7, 0.023),
    "mobilenet_v1_0.25_vww": (7.5, 0.21),
    "resnet8_cifar10": (12.5, 0.078),
    "fc_autoencoder_ad": (0.26, 0.266),
}


def sizes(name):
    family, graph = network(name)
    assert family
    parameters = sum(graph.specs[c].size for c in graph.constants if graph.specs[c].shape)
    return sum(graph.macs(node) for node in graph.nodes) / 1e6, parameters / 1e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    macs, parameters = PUBLISHED[name]
    lite = "lite" in name
    assert sizes(name) == (
        pytest.approx(macs, rel=0.06 if lite else 0.035),
        pytest.approx(parameters, rel=0.025),
    )


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_fusing_loses_no_multiplication_and_no_weight(name):
    _, graph = network(name)
    started = kernels(graph)
    assert sum(k.macs for k in started) == sum(graph.macs(node) for node in graph.nodes)
    held = sum(graph.specs[c].size for c in graph.constants)
    scalars = sum(graph.specs[c].shape == () for c in graph.constants)
    read = sum(k.weights for k in started)
    assert read >= held
    assert read <= held + scalars * len(started)


def test_an_unknown_network_is_none():
    assert network("mobilenet-v9-1.0-224") is None
