"""Pruning a trained model: what is pruned, what is taught again, and that it stays pruned."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgelearn import adapting, modelfile, workflow
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.engine import train_step, working_set_bytes
from edgelearn.errors import ModelFileError, OptionError
from edgelearn.evaluation import evaluate
from edgelearn.gradients import local_gradients
from edgelearn.holdout import split
from edgelearn.ir import store
from edgelearn.masking import PruneConfig, choose_masks, masked, matrices
from edgelearn.progress import Observer
from edgelearn.sparsity.regrowth import exchanged_share
from edgelearn.trainer import fit


def pruned(trained, digits, observer=None, **settings):
    model = replace(trained, recipe=recipe_of(trained, epochs=1))
    config = PruneConfig(**settings)
    return workflow.prune(model, digits, config, observer or Observer())


def recipe_of(model, **settings):
    train = msgspec.structs.replace(model.recipe.train, **settings)
    return msgspec.structs.replace(model.recipe, train=train)


@pytest.mark.parametrize("schedule", ["oneshot", "gradual", "iterative", "dynamic"])
def test_retraining_regains_accuracy_under_the_masks(trained, digits, schedule):
    before = {key: value.copy() for key, value in trained.network.stored().items()}
    told = []
    observer = Observer(on_epoch=lambda report: told.append(report.epoch))
    model, report = pruned(trained, digits, observer, sparsity=0.95, schedule=schedule, retrain=4)
    assert told == [1, 2, 3, 4]
    assert report.sparsity == pytest.approx(0.95, abs=1e-3)
    assert (
        report.accuracy_before == evaluate(trained.network, digits.x_test, digits.y_test).accuracy
    )
    assert report.accuracy_after_retrain[-1] > 0.88
    if schedule == "oneshot":
        assert report.accuracy_after_prune < report.accuracy_after_retrain[-1] - 0.05
    after = evaluate(model.network, digits.x_test, digits.y_test).accuracy
    assert report.accuracy_after_retrain[-1] == after
    block = model.network.whole().blocks[0]
    w = block.params["w"]
    assert np.count_nonzero(w) == report.nonzero
    assert block.masks["w"].sum() == round(0.05 * w.size)
    for key, value in trained.network.stored().items():
        assert np.array_equal(value, before[key])


def test_sparsity_grows_as_the_schedule_says(trained, digits):
    _, report = pruned(trained, digits, sparsity=0.9, schedule="gradual", retrain=6)
    grown = [epoch.sparsity for epoch in report.epochs]
    assert grown[0] == pytest.approx(0.9 * (1 - 0.75**3), abs=1e-3)
    assert grown == sorted(grown)
    assert grown[3:] == [report.sparsity] * 3
    assert report.sparsity == pytest.approx(0.9, abs=1e-3)
    assert report.kept_epoch == 6


def patient(trained, **settings):
    train = {"validation": 0.2, "lr": 0.02, "lr_schedule": "constant", **settings}
    return replace(trained, recipe=recipe_of(trained, **train))


@pytest.mark.parametrize("schedule", ["gradual", "dynamic"])
def test_patience_keeps_the_best_epoch_of_the_last_masks(trained, digits, schedule):
    config = PruneConfig(0.9, schedule=schedule, retrain=12)
    model, report = workflow.prune(patient(trained, patience=2), digits, config, Observer())
    held_out = [epoch.held_out for epoch in report.epochs]
    first = 7  # masks change for the last time after seven epochs
    assert report.kept_epoch == 1 + held_out.index(max(held_out[first:]), first)
    assert len(held_out) in (12, report.kept_epoch + 2)
    assert report.sparsity == pytest.approx(0.9, abs=1e-3)
    kept = report.epochs[report.kept_epoch - 1]
    assert evaluate(model.network, digits.x_test, digits.y_test).accuracy == kept.accuracy


def test_held_out_samples_do_not_teach(trained, digits):
    _, held = split(digits.y_train, 0.2, 0)
    x = digits.x_train.copy()
    x[held] = 0  # they are not looked at, by the growth of weights neither
    config = PruneConfig(0.9, schedule="dynamic", retrain=3)
    one, _ = workflow.prune(patient(trained), digits, config, Observer())
    other, _ = workflow.prune(patient(trained), replace(digits, x_train=x), config, Observer())
    for key, value in one.network.stored().items():
        assert np.array_equal(value, other.network.stored()[key])


def test_weights_go_where_the_local_gradient_is_largest(trained, digits):
    first = choose_masks(trained.network, PruneConfig(), 0.95)["dense1.w"]
    model, _ = pruned(trained, digits, sparsity=0.95, schedule="dynamic", retrain=3)
    last = model.network.whole().blocks[0].masks["w"]
    moved = int((last & ~first & 1).sum())
    assert 0 < moved <= round(exchanged_share(1, 3) * first.sum())
    fixed, _ = pruned(trained, digits, sparsity=0.95, retrain=3)
    assert np.array_equal(fixed.network.whole().blocks[0].masks["w"], first)


def test_local_gradients_are_those_of_a_step(trained, digits):
    network = trained.network.with_arrays(trained.network.stored())
    network = masked(network, choose_masks(network, PruneConfig(), 0.9))
    before = {key: value.copy() for key, value in network.stored().items()}
    found = local_gradients(network, digits.x_train[:16], digits.y_train[:16], 16)
    for key, value in network.stored().items():
        assert np.array_equal(value, before[key])
    free = masked(network, {})
    buffers = Buffers(free, 16)
    loaded = buffers.load(digits.x_train, digits.y_train, np.arange(16))
    train_step(buffers, *loaded, 0.5, free.learning())
    for block in free.blocks:
        for key, value in block.params.items():
            name = f"{block.name}.{key}"
            step = (before[name] - value) / (0.5 * block.lr_scale)
            np.testing.assert_allclose(found[name], step, atol=1e-5)
    assert found["dense1.w"][before["dense1.w"] == 0].any()


def test_masks_are_in_the_file_and_hold_ever_after(trained, digits, tmp_path):
    model, report = pruned(trained, digits, sparsity=0.9, pattern="1x4", retrain=1)
    path = tmp_path / "pruned.safetensors"
    modelfile.save(path, model)
    again = modelfile.load(path)
    assert again.card["pruned"]["sparsity"] == report.sparsity
    zeros = model.network.whole().blocks[0].masks["w"] == 0
    assert np.array_equal(again.network.whole().blocks[0].masks["w"] == 0, zeros)
    fit(again.network, digits.x_train, digits.y_train, recipe_of(trained, epochs=1).train)
    adapted, _ = adapting.adapt(
        again.network, digits.x_train[:64], digits.y_train[:64], adapting.AdaptConfig(epochs=1)
    )
    for network in (again.network, adapted):
        w = network.whole().blocks[0].params["w"]
        assert not w[zeros].any()
        assert not np.array_equal(w, model.network.whole().blocks[0].params["w"])


@pytest.mark.parametrize("method", ["dfa", "fa", "bp", "drtp"])
def test_controls_hold_masks_too(trained, digits, method):
    network = trained.network.with_arrays(trained.network.stored())
    masks = choose_masks(network, PruneConfig(), 0.9)
    network = masked(network, masks)
    before = network.blocks[0].params["w"].copy()
    config = recipe_of(trained, epochs=1, method=method).train
    fit(network, digits.x_train[:64], digits.y_train[:64], config)
    after = network.blocks[0].params["w"]
    assert not after[masks["dense1.w"] == 0].any()
    assert not np.array_equal(before, after)


def test_a_pruned_model_answers_without_a_compiler(trained, digits, tmp_path):
    model, _ = pruned(trained, digits, sparsity=0.9)
    path = tmp_path / "pruned.safetensors"
    modelfile.save(path, model)
    code = f"""
import sys
from pathlib import Path
from edgelearn import modelfile
from edgelearn.lowering import to_graph
to_graph(modelfile.load(Path({str(path)!r})).network)
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_mask_is_a_byte_a_weight(trained):
    network = trained.network
    masks = choose_masks(network, PruneConfig(), 0.9)
    more = working_set_bytes(masked(network.with_arrays(network.stored()), masks), 16)
    assert more - working_set_bytes(network, 16) == network.blocks[0].params["w"].size


@pytest.mark.parametrize("wrong", [np.ones((3, 3), np.uint8), np.ones((64, 128), np.int8)])
def test_a_mask_that_does_not_fit_is_refused(trained, digits, tmp_path, wrong):
    model, _ = pruned(trained, digits, sparsity=0.5)
    bundle = modelfile.to_bundle(model)
    graph = bundle.graphs["train"]
    nodes = tuple(n for n in graph.nodes if type(n.op).__name__ != "ApplyMask")
    kept = {n.output: n.inputs[0] for n in graph.nodes if type(n.op).__name__ == "ApplyMask"}
    states = tuple(replace(s, output=kept.get(s.output, s.output)) for s in graph.states)
    name = "dense1.w.mask"
    specs = {k: v for k, v in graph.specs.items() if k not in kept}
    specs[name] = replace(specs[name], shape=wrong.shape, dtype=wrong.dtype.name)
    changed = replace(
        graph, nodes=nodes, states=states, specs=specs, constants={**graph.constants, name: wrong}
    )
    path = tmp_path / "wrong.safetensors"
    store.write(path, replace(bundle, graphs={**bundle.graphs, "train": changed}))
    with pytest.raises(ModelFileError, match=r"dense1\.w\.mask"):
        modelfile.load(path)


LAYERS = [
    {"kind": "gru", "units": 6, "returns": "sequence"},
    {"kind": "mingru", "units": 8},
    {"kind": "dense", "units": 5},
    {"kind": "dense", "units": 3, "activation": "softmax"},
]


@pytest.fixture
def stack():
    recipe = parse_recipe({"dataset": {"name": "digits"}, "layers": LAYERS}, "recipe")
    return build(recipe, (4, 7), ["a", "b", "c"], None)


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("all", {"gru1.w", "gru1.u", "mingru2.w", "dense3.w"}),
        ("both", {"gru1.w", "gru1.u", "mingru2.w"}),
        ("ih", {"gru1.w", "mingru2.w"}),
        ("hh", {"gru1.u"}),
    ],
)
def test_scopes(stack, scope, names):
    assert set(matrices(stack, scope)) == names
    assert set(choose_masks(stack, PruneConfig(scope=scope), 0.5)) == names


def test_neurons_of_a_scope_go_with_their_biases(stack):
    masks = choose_masks(stack, PruneConfig(scope="hh", pattern="neuron"), 0.5)
    assert set(masks) == {"gru1.w", "gru1.u", "gru1.b"}
    every = choose_masks(stack, PruneConfig(pattern="neuron"), 0.5)
    assert masks.keys() | {"mingru2.w", "mingru2.b", "dense3.w", "dense3.b"} == every.keys()


@pytest.mark.parametrize("scope", ["ih", "hh", "both"])
def test_a_scope_that_the_network_lacks(trained, digits, scope):
    with pytest.raises(OptionError, match=f"scope '{scope}'.* dense"):
        pruned(trained, digits, sparsity=0.5, scope=scope)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "--sparsity"),
        ({"sparsity": 1.0}, "no weight stays"),
        ({"sparsity": 0.99999}, "an empty one"),
        ({"sparsity": 0.9, "pattern": "2:4"}, "sparsity of 0.5"),
        ({"pattern": "2:4", "schedule": "gradual", "retrain": 3}, "oneshot"),
        ({"sparsity": 0.9, "schedule": "gradual"}, "--retrain"),
        ({"sparsity": 0.9, "schedule": "dynamic"}, "--retrain"),
        ({"sparsity": 0.9, "schedule": "dynamic", "pattern": "neuron"}, "pattern of blocks"),
    ],
)
def test_what_cannot_be(trained, digits, settings, words):
    with pytest.raises(OptionError, match=words):
        pruned(trained, digits, **settings)


def test_a_pattern_says_its_sparsity(trained, digits):
    _, report = pruned(trained, digits, pattern="2:4")
    assert report.sparsity == 0.5
