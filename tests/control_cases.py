"""Networks of every kind of layer that a control must train, on real handwritten digits."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgelearn import workflow
from edgelearn.config import parse_recipe

METHODS = ("bp", "fa", "dfa", "drtp")
CONV = {"kind": "conv2d", "filters": 4}
NETWORKS = {
    "dense": [
        {"kind": "dense", "units": 12, "activation": "relu"},
        {"kind": "dense", "units": 9, "learn_projection": True},
    ],
    "conv": [
        {**CONV, "activation": "leaky_relu"},
        {"kind": "max_pool"},
        {**CONV, "filters": 5, "kernel": 2, "activation": "tanh"},
        {"kind": "layer_norm"},
        {"kind": "avg_pool", "window": 3, "stride": 1},
        {"kind": "dense", "units": 7},
    ],
    "overlapping": [{**CONV, "stride": 2}, {"kind": "max_pool", "window": 3, "stride": 1}],
    "gru": [
        {"kind": "gru", "units": 6, "returns": "sequence"},
        {"kind": "gru", "units": 5},
    ],
    "cells": [
        {"kind": "lstm", "units": 4, "returns": "sequence"},
        {"kind": "elman", "units": 4, "returns": "sequence"},
        {"kind": "jordan", "units": 6, "outputs": 3, "returns": "last"},
    ],
    "mingru": [
        {"kind": "mingru", "units": 5, "returns": "sequence"},
        {"kind": "mingru", "units": 6},
    ],
    "shortcuts": [
        {"kind": "dense", "units": 8, "name": "a"},
        {"kind": "dense", "units": 8, "name": "b", "lr_scale": 0.5},
        {"kind": "dense", "units": 8, "name": "c", "inputs": ["a", "b"], "join": "add"},
        {"kind": "dense", "units": 8, "name": "d", "inputs": ["c", "a"]},
    ],
    "dropout": [
        {"kind": "dropout", "rate": 0.1},
        {"kind": "dense", "units": 8},
        {"kind": "dropout", "rate": 0.4},
        {"kind": "dense", "units": 6, "learn": False},
    ],
    "followers": [
        {"kind": "dense", "units": 8},
        {"kind": "batch_norm"},
        {"kind": "dense", "units": 6, "activation": "leaky_relu"},
    ],
    "grouped": [
        {**CONV, "filters": 6},
        {**CONV, "filters": 6, "groups": 6, "stride": 2},
        {**CONV, "filters": 4, "groups": 2},
        {"kind": "global_pool", "takes": "max"},
    ],
    "lines": [
        {"kind": "conv1d", "filters": 5, "dilation": 2, "padding": "causal"},
        {"kind": "max_pool1d"},
        {"kind": "gru", "units": 4},
    ],
    "tokens": [
        {"kind": "flatten"},
        {"kind": "embedding", "vocabulary": 17, "units": 3},
        {"kind": "global_pool"},
    ],
    "frozen": [{**CONV}, {**CONV, "learn": False}, {"kind": "dense", "units": 6}],
}


def images(digits):
    """The digits as images of 8 x 8 pixels, or as 8 steps of 8 features."""
    return dataclasses.replace(
        digits, x_train=digits.x_train.reshape(-1, 8, 8), x_test=digits.x_test.reshape(-1, 8, 8)
    )


def model_of(digits, name, **train):
    """A new model of one of `NETWORKS`."""
    return built(digits, NETWORKS[name], **train)


def built(digits, layers, **train):
    """A new model of these layers and a head."""
    tables = {
        "name": "control",
        "dataset": {"name": "digits"},
        "input": {"normalize": "none" if layers == NETWORKS["tokens"] else "standard"},
        "layers": [*layers, {"kind": "dense", "units": 10, "activation": "softmax"}],
        "train": {"method": "bp", **train},
    }
    return workflow.new_model(parse_recipe(tables, "control"), images(digits))


def batches(count, size):
    """Rows of the samples of `count` batches."""
    return np.arange(count * size).reshape(count, size)
