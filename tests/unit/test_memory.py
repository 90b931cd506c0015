"""What training holds: as planned, whatever the depth and the length, and nothing besides."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from control_cases import NETWORKS, built, images

from edgelearn import cli, engine, stages, starting, workflow
from edgelearn.bench.memory import bare_bytes
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import TrainConfig, parse_recipe
from edgelearn.errors import ConfigError, OverBudget
from edgelearn.layers import SequenceLearner, examples, kinds
from edgelearn.placement import Placement, Shapes

OBJECTS = 8192
"""Bytes of Python's own objects in a step: views of arrays, named tuples of kernels."""
LABELS = 16
"""Bytes a sample of labels: one picked by the number of its row, one repeated for a step."""
HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
DENSE = {"kind": "dense", "units": 64}
STACKS = {
    **NETWORKS,
    "deep": [DENSE] * 8,
    "distances": [{**DENSE, "loss": "l2"}, {**DENSE, "loss": "l1"}],
    "hinges": [{**DENSE, "loss": "hinge"}, {**DENSE, "loss": "squared_hinge"}],
    "similar": [{**DENSE, "loss": "similarity"}, {**DENSE, "loss": "predsim"}],
    "signs": [{**DENSE, "projection": "sign", "chunk": 4}],
    "leaky": [
        {"kind": "leaky", "units": 16, "returns": "sequence"},
        {"kind": "leaky", "units": 16, "trainable": True, "learn_projection": True},
    ],
    "cells that learn projections": [
        {"kind": "gru", "units": 12, "returns": "sequence", "learn_projection": True},
        {"kind": "mingru", "units": 12, "reverse": True, "learn_projection": True},
    ],
}
RECIPE = """
name = "pixels"
input = {{ over = "channel" }}
dataset = {{ format = "npz", path = "{path}" }}
[[layers]]
kind = "{kind}"
units = 128
[[layers]]
kind = "dense"
units = 10
activation = "softmax"
"""
CONVOLUTIONS = [
    {"kind": kind, **({"filters": filters} if filters else {})}
    for filters in (32, 64, 128)
    for kind, filters in (("conv2d", filters), ("max_pool", 0))
]
OPTIMIZERS = ("sgd", "momentum", "adam")


def held(network):
    """Bytes of what is there without buffers: parameters, what is remembered, projections."""
    stored = sum(value.nbytes for value in network.stored().values())
    scales = network.normalizer.nbytes if network.normalizer else 0
    return stored + sum(p.nbytes for p in network.fixed()) + scales


def beyond(network, batch):
    return engine.working_set_bytes(network, batch) - held(network)


def stack(layers, in_shape, **train):
    """A network of these layers and a head, which saw no data."""
    tables = {"name": "stack", "dataset": {"name": "digits"}, "train": train}
    recipe = parse_recipe({**tables, "layers": [*layers, HEAD]}, "stack")
    return build(recipe, in_shape, "0123456789", None)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [2, 512])
@pytest.mark.parametrize("name", STACKS)
def test_a_step_allocates_nothing_beyond_the_plan(digits, name, batch, optimizer):
    """At 512 samples a copy of the smallest activation here would be seen."""
    network = built(digits, STACKS[name], optimizer=optimizer, method="tpsgd").network
    data = images(digits)
    tracemalloc.start()
    buffers = Buffers(network, batch)
    made, _ = tracemalloc.get_traced_memory()

    def step():
        loaded = buffers.load(data.x_train, data.y_train, np.arange(batch))
        engine.train_step(buffers, *loaded, 0.01, network.learning())

    for _ in range(10):  # also fills Python's lists of free objects, which are no arrays
        step()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    planned = beyond(network, batch)
    arrays = [value for value in vars(buffers).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) == planned
    assert planned <= made <= planned + OBJECTS
    assert peak - before <= OBJECTS + LABELS * batch


@pytest.mark.parametrize("name", STACKS)
def test_fewer_samples_fit_where_more_do(digits, name):
    """The last batch of an epoch is smaller; of recurrent layers it may have more rows."""
    network = built(digits, STACKS[name], method="tpsgd").network
    data, buffers = images(digits), Buffers(network, 40)
    for batch in (40, 33, 32, 30, 17, 2):
        loaded = buffers.load(data.x_train, data.y_train, np.arange(batch))
        assert np.isfinite(engine.train_step(buffers, *loaded, 0.01, network.learning()))


def settings(layer, **changes):
    return {"kind": layer.kind, **msgspec.to_builtins(layer), **changes}


def repeatable():
    """Layers that can stand on themselves, with the shape that they then keep."""
    for index, (layer, in_shape) in enumerate(examples()):
        shape = layer.out_shape(in_shape)
        try:
            keeps = layer.out_shape(shape) == shape
        except ConfigError:
            continue
        if keeps:
            yield pytest.param(layer, shape, id=f"{index}-{layer.kind}")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("layer", "shape"), [*repeatable()])
def test_depth_costs_parameters_only(layer, shape, optimizer):
    if getattr(layer, "activation", None) == "softmax":
        layer = msgspec.structs.replace(layer, activation="tanh")
    two, eight = (stack([settings(layer)] * n, shape, optimizer=optimizer) for n in (2, 8))
    for batch in (2, 8, 128):
        assert beyond(eight, batch) == beyond(two, batch)


def test_every_kind_that_keeps_a_shape_is_among_them():
    shrinks = {"embedding", "global_pool", *(kind for kind in kinds() if "pool" in kind)}
    assert {case.values[0].kind for case in repeatable()} >= kinds().keys() - shrinks


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [2, 32])
@pytest.mark.parametrize(
    "layer", [layer for layer, _ in examples() if isinstance(layer, SequenceLearner)], ids=repr
)
def test_length_costs_the_sample_and_the_returned_sequence_only(layer, batch, optimizer):
    """Beyond a chunk of steps, a step of a sample more is its features, and those returned."""

    def planned(steps):
        top = [settings(layer, returns="last", masked=layer.masked)]
        layers = [settings(layer), *(top if layer.returns == "sequence" else [])]
        return beyond(stack(layers, (steps, 4), optimizer=optimizer), batch)

    returned = layer.units + layer.masked if layer.returns == "sequence" else 0
    assert planned(4096) - planned(64) == 4 * batch * (4096 - 64) * (4 + returned)


@pytest.mark.parametrize("widths", [(300, 8, 8, 300, 20), (9, 200, 7, 150, 190, 3), (50,)])
def test_a_stack_holds_its_two_largest_neighbours(widths):
    network = stack([{"kind": "dense", "units": n} for n in widths], (30,))
    outs = (*widths, 10)
    placement = Placement.of(network, 16, keep_all=False)
    assert placement.activations == 16 * max(map(sum, pairwise(outs)))
    ends = [start + 16 * n for start, n in zip(placement.places, outs, strict=True)]
    for first, second in pairwise(zip(placement.places, ends, strict=True)):
        assert first[1] <= second[0] or second[1] <= first[0]


@pytest.mark.parametrize(
    ("in_shape", "layers", "most"),
    [
        ((784,), [{"kind": "dense", "units": 256}], (1.05, 1.05, 1.45, 1.15)),
        ((32, 32, 3), CONVOLUTIONS, (2.3, 1.35, 1.25, 1.25)),
        ((28, 28), [{"kind": "mingru", "units": 128}], (2.5, 2.5, 1.6, 1.2)),
        ((28, 28), [{"kind": "leaky", "units": 128}], (20, 7.5, 4.1, 3.6)),
        ((28, 28), [{"kind": "gru", "units": 128}], (6, 7, 4.3, 2.8)),
        ((28, 28), [{"kind": "lstm", "units": 128}], (6.1, 7.8, 4.9, 3.1)),
    ],
    ids=["dense", "conv2d", "mingru", "leaky", "gru", "lstm"],
)
def test_how_near_the_plan_is_to_what_cannot_be_done_without(in_shape, layers, most):
    """At 1, 8, 32 and 128 samples: a multiple of `bare_bytes` that must not grow again."""
    network = stack(layers, in_shape, optimizer="sgd")
    for batch, times in zip((1, 8, 32, 128), most, strict=True):
        bare = bare_bytes(network, batch)
        assert bare < beyond(network, batch) < times * bare


def test_plain_descent_is_in_place_unless_something_must_be_collected():
    """A gradient is held by no layer that learns at once, and by one whose sequence is long."""

    def gradient(kind, steps, batch):
        network = stack([{"kind": kind, "units": 8}], (steps, 4), optimizer="sgd")
        block = network.blocks[0]
        (size,) = Shapes.of(block, network.optimizer, batch).gradient
        assert size in (0, sum(value.size for value in block.learned().values()))
        return size > 0

    assert not gradient("leaky", 500, 64)
    assert [gradient("gru", 32, 1), gradient("gru", 33, 1), gradient("gru", 32, 3)] == [0, 1, 1]
    assert [gradient("mingru", 500, 1), gradient("mingru", 8, 2)] == [0, 1]


def test_long_sequences_cost_a_small_part_of_backpropagation_through_time(tmp_path, capsys, digits):
    """784 steps, digits as their pixels: what is planned, by the command."""
    pixels = np.repeat(digits.x_train[:20], 13, axis=1)[:, :784, None].astype(np.float32)
    labels = digits.y_train[:20]
    parts = {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels}
    np.savez(tmp_path / "pixels.npz", **parts)
    recipe = tmp_path / "pixels.toml"

    def times_less(kind, batch):
        recipe.write_text(RECIPE.format(kind=kind, path=tmp_path / "pixels.npz"), "utf-8")
        assert cli.run(["bench", "memory", str(recipe), "--batch", str(batch), "--json"]) == 0
        need = {r["name"]: r["beyond_bytes"] for r in json.loads(capsys.readouterr().out)}
        return need["backprop, in place"] / need["tpsgd"]

    assert times_less("mingru", 1) > 30
    assert times_less("mingru", 32) > 30
    assert times_less("gru", 1) > 5  # the gradient of a GRU is as large as its weights
    assert times_less("gru", 32) > 30


@pytest.mark.parametrize("init", ["pca", "oja"])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_start_from_the_data_holds_what_was_planned(digits, init, groups):
    """Also the covariance, which may be far more than training holds; LAPACK's part is not seen."""
    wide = {"kind": "conv2d", "filters": 32, "kernel": 3, "init": init}
    deep = {**wide, "kernel": 5, "groups": groups}
    network = built(digits, [{**wide, "init": "random"}, deep], method="tpsgd").network
    x = images(digits).x_train[:300]
    starting.start_from_data(network, x[:32])
    tracemalloc.start()
    starting.start_from_data(network, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parameters = sum(value.nbytes for value in network.stored().values())
    planned = starting.start_bytes(network) - parameters
    assert 0.5 * planned <= peak <= planned + OBJECTS
    assert stages.run_bytes(network, TrainConfig(batch=1)) >= starting.start_bytes(network)


def test_nothing_starts_from_the_data_in_a_dense_network(digits):
    assert starting.start_bytes(built(digits, NETWORKS["dense"]).network) == 0


def test_a_budget_that_the_start_breaks_is_refused_with_a_way_out(digits):
    layers = [{"kind": "conv2d", "filters": 32}, {"kind": "conv2d", "filters": 4, "init": "pca"}]
    model = built(digits, layers, method="tpsgd", batch=1)
    with pytest.raises(OverBudget, match='init = "oja"'):
        workflow.require_budget(model.recipe, images(digits), 1_000_000)
