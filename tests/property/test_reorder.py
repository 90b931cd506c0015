"""Training steps in another order: the same to the bit, in a smaller arena."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.ir import plan_arena, run
from edgelearn.ir.arena import smallest
from edgelearn.lowering import Step, emit_local_learning
from edgelearn.passes.fold import fold
from edgelearn.passes.reorder import _Walk, reorder

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
STACKS = {
    "dense": ((12,), {"kind": "dense", "units": 16}, {"kind": "dense", "units": 16}),
    "conv2d": (
        (12, 12, 2),
        {"kind": "conv2d", "filters": 4, "learn_projection": True},
        {"kind": "max_pool"},
        {"kind": "batch_norm"},
        {"kind": "conv2d", "filters": 4, "activation": "tanh"},
    ),
    "conv1d": ((20, 3), {"kind": "conv1d", "filters": 6}, {"kind": "max_pool1d"}),
    "gru": ((20, 3), {"kind": "gru", "units": 8, "learn_projection": True}),
    "lstm": (
        (20, 3),
        {"kind": "lstm", "units": 8, "masked": True, "returns": "sequence"},
        {"kind": "elman", "units": 8, "masked": True, "reverse": True},
    ),
    "mingru": ((20, 3), {"kind": "mingru", "units": 8}),
    "leaky": ((20, 3), {"kind": "leaky", "units": 8, "trainable": True}),
}
SMALLER = {"conv2d": 0.85, "gru": 0.5, "lstm": 0.5}
"""What is left of the arena at 8 samples, at most."""


def step_of(in_shape, *layers, optimizer="sgd"):
    """A training step in the order in which it is emitted."""
    train = {"optimizer": optimizer}
    tables = {"name": "stack", "dataset": {"name": "digits"}, "train": train}
    recipe = parse_recipe({**tables, "layers": [*layers, HEAD]}, "stack")
    network = build(recipe, in_shape, "0123456789", None)
    step = Step(network, "step")
    return fold(step.graph(emit_local_learning(step, network)))


def arena(graph, batch):
    return plan_arena(graph.bind(batch)).size_bytes


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("name", STACKS)
def test_it_says_the_same_in_no_more_memory(name, batch, optimizer):
    graph = step_of(*STACKS[name], optimizer=optimizer)
    other = reorder(graph, batch)
    assert sorted(n.output for n in other.nodes) == sorted(n.output for n in graph.nodes)
    assert arena(other, batch) <= arena(graph, batch)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *graph.specs["x"].shape[1:]), np.float32)
    if "masked" in STACKS[name][1]:
        x[..., -1] = np.arange(x.shape[1]) < 15
    feeds = {"x": x, "y": np.arange(batch) % 10, "lr": np.array(0.1, np.float32)}
    expected, found = run(graph, feeds), run(other, feeds)
    for values, others in ((expected.outputs, found.outputs), (expected.states, found.states)):
        for key, value in values.items():
            assert np.array_equal(value, others[key]), key


@pytest.mark.parametrize("name", SMALLER)
def test_it_is_smaller_by_far(name):
    graph = step_of(*STACKS[name])
    assert arena(reorder(graph, 8), 8) < SMALLER[name] * arena(graph, 8)


@pytest.mark.parametrize("kind", ["gru", "lstm", "leaky", "mingru"])
def test_longer_sequences_need_their_samples_only(kind):
    """What a step leaves dies with it: the sample apart, the arena is the same."""
    sizes = []
    for steps in (16, 64):
        graph = reorder(step_of((steps, 2), {"kind": kind, "units": 8}), 4)
        sizes.append(arena(graph, 4) - math.prod((4, 4, steps, 2)))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", STACKS)
def test_bounds_choose_as_plans_of_all_orders_would(name):
    graph = step_of(*STACKS[name]).bind(8)
    orders = [graph.nodes, *(tuple(_Walk(graph, patient=p).order()) for p in (False, True))]
    for tried in (orders, orders[::-1]):
        needed = [plan_arena(replace(graph, nodes=nodes)).size_bytes for nodes in tried]
        assert smallest(graph, tried) == needed.index(min(needed))
