"""Small networks of every kind that is pruned, half of their weights 0."""

from __future__ import annotations

from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.masking import PruneConfig, choose_masks, masked

CLASSES, BATCH = 3, 4
HEAD = {"kind": "dense", "units": CLASSES, "activation": "softmax"}
STACKS = {
    "dense": ([{"kind": "dense", "units": 12}, {"kind": "dense", "units": 9}], (10,)),
    "conv": (
        [{"kind": "conv2d", "filters": 6, "kernel": 3}, {"kind": "dense", "units": 8}],
        (6, 6, 2),
    ),
    **{
        kind: (
            [
                {"kind": kind, "units": 5, "returns": "sequence"},
                {"kind": kind, "units": 6, "learn_projection": True},
            ],
            (4, 7),
        )
        for kind in ("gru", "lstm", "elman", "mingru")
    },
}
PATTERNS = ("unstructured", "1x4", "neuron", "2:4")


def pruned(name, optimizer, pattern):
    layers, in_shape = STACKS[name]
    tables = {
        "name": name,
        "dataset": {"name": "digits"},
        "layers": [*layers, HEAD],
        "train": {"optimizer": optimizer},
    }
    network = build(parse_recipe(tables, name), in_shape, ["a", "b", "c"], None)
    config = PruneConfig(pattern=pattern)
    masks = choose_masks(network, config, 0.5)
    return masked(network.with_arrays(network.stored()), masks), masks
