"""Blocks that read several earlier ones: shapes, joins, buffers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine, modelfile, workflow
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe, to_tables
from edgelearn.errors import ConfigError, UnknownName
from edgelearn.evaluation import predict
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.ir.builder import Builder
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.runtimes.onnx import OnnxSession
from edgelearn.wiring import Wiring

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}


def dense(name, units=8, **settings):
    return {"kind": "dense", "name": name, "units": units, **settings}


def recipe_of(*layers, method="tpsgd"):
    tables = {
        "name": "dag",
        "dataset": {"name": "digits"},
        "layers": [*layers, HEAD],
        "train": {"method": method, "schedule": "simultaneous", "epochs": 2, "lr": 0.3},
    }
    return parse_recipe(tables, "dag")


SHORTCUTS = {
    "concat": (dense("a"), dense("b", 6), dense("c", inputs=["a", "b", "input"])),
    "add": (dense("a"), dense("b"), dense("c"), dense("d", inputs=["a", "c"], join="add")),
    "two readers": (
        dense("a"),
        dense("b"),
        dense("c", inputs=["a"]),
        dense("d", inputs=["b", "c"]),
    ),
    "head": (dense("a"), dense("b")),
}


@pytest.fixture(params=SHORTCUTS.values(), ids=SHORTCUTS.keys())
def model(request, digits):
    return workflow.new_model(recipe_of(*request.param), digits)


def test_engine_interpreter_and_runtime_agree_for_20_steps(model, digits):
    network, graph = model.network, to_train_graph(model.network)
    by_interpreter = {state.input: state.init.copy() for state in graph.states}
    by_runtime = dict(by_interpreter)
    session = OnnxSession(to_bytes(graph))
    buffers = Buffers(network, 12)
    for step in range(20):
        rows = np.arange(step * 12, (step + 1) * 12)
        feeds = {
            "x": digits.x_train[rows].astype(np.float32),
            "y": digits.y_train[rows],
            "lr": np.array(0.1, np.float32),
        }
        loaded = buffers.load(digits.x_train, digits.y_train, rows)
        engine.train_step(buffers, *loaded, 0.1, range(len(network.blocks)))
        by_interpreter = run(graph, feeds, by_interpreter).states
        outputs = session.run({**feeds, **by_runtime})
        by_runtime = {state.input: outputs[state.output] for state in graph.states}
    for name, value in network.stored().items():
        np.testing.assert_allclose(by_interpreter[name], value, atol=ENGINE_F32)
        np.testing.assert_allclose(by_runtime[name], value, atol=ENGINE_F32)


def test_model_survives_its_file(model, digits, tmp_path):
    path = tmp_path / "model.safetensors"
    modelfile.save(path, model)
    again = modelfile.load(path)
    x = digits.x_test[:7]
    assert np.array_equal(predict(again.network, x), predict(model.network, x))
    by_graph = run(to_graph(model.network), {"x": x.astype(np.float32)}).outputs["probabilities"]
    np.testing.assert_allclose(by_graph, predict(model.network, x), atol=ENGINE_F32)
    assert parse_recipe(to_tables(model.recipe), "again") == model.recipe


def test_each_block_sees_what_it_names(digits):
    layers = (dense("a"), dense("b", 6), dense("c", inputs=["b", "input", "a"]))
    network = workflow.new_model(recipe_of(*layers), digits).network
    buffers = Buffers(network, 5)
    x, _ = buffers.load(digits.x_train, digits.y_train, np.arange(5))
    seen = engine.input_of(2, x, buffers)

    def through(block, v):
        return np.tanh(v @ block.params["w"] + block.params["b"])

    a = through(network.blocks[0], x)
    b = through(network.blocks[1], a)
    np.testing.assert_allclose(seen, np.concatenate([b, x, a], axis=1), atol=ENGINE_F32)


def test_a_plain_stack_holds_two_activations(digits):
    plain = workflow.new_model(recipe_of(*(dense(n, 64) for n in "abcd")), digits).network
    layers = [dense(n, 64) for n in "abc"] + [dense("d", 64, inputs=["a", "b", "c"], join="add")]
    wired = workflow.new_model(recipe_of(*layers), digits).network
    spare = engine.working_set_bytes(wired, 8) - engine.working_set_bytes(plain, 8)
    assert spare == 4 * 8 * 64 * (2 + 1)  # two activations more, and their sum


def test_an_activation_lives_until_it_is_read_last(digits):
    layers = (dense("a"), dense("b"), dense("c", inputs=["a"]), dense("d", inputs=["b", "c"]))
    recipe = recipe_of(*layers, dense("e"), dense("f", inputs=["a", "e"]))
    network = build(recipe, (64,), digits.classes, None)
    buffers = Buffers(network, 3)
    x, _ = buffers.load(digits.x_train, digits.y_train, np.arange(3))
    seen, first = engine.input_of(5, x, buffers), network.blocks[0].params
    np.testing.assert_allclose(seen[:, :8], np.tanh(x @ first["w"] + first["b"]), atol=ENGINE_F32)


@pytest.mark.parametrize("join", ["concat", "add"])
def test_a_mask_is_kept_once(join):
    wiring = Wiring("both", (0, 1), join, masked=True)
    rng = np.random.default_rng(0)
    mask = np.array([[[1], [1], [0]], [[1], [0], [0]]], np.float32)
    parts = [np.concatenate([rng.random((2, 3, 4)) * mask, mask], axis=2) for _ in range(2)]
    parts = [part.astype(np.float32) for part in parts]
    shape = wiring.shape([(3, 5), (3, 5)])
    out = np.empty((2, *shape), np.float32)
    wiring.write(parts, out)
    left, right = (part[..., :-1] for part in parts)
    both = np.concatenate([left, right], axis=2) if join == "concat" else left + right
    assert np.array_equal(out, np.concatenate([both, mask], axis=2))
    b = Builder("join")
    names = [b.input(name, (-1, 3, 5)) for name in ("p", "q")]
    graph = b.graph([wiring.emit(b, names)])
    found = run(graph, dict(zip(names, parts, strict=True))).outputs[graph.outputs[0]]
    assert np.array_equal(found, out)


def test_unknown_and_later_layers_are_refused():
    with pytest.raises(UnknownName, match=r"layer 'b', input.*'aa'.*write 'a'"):
        build(recipe_of(dense("a"), dense("b", inputs=["aa"])), (64,), tuple("0123456789"), None)
    with pytest.raises(UnknownName, match="layer 'a', input 'b'"):
        build(recipe_of(dense("a", inputs=["b"]), dense("b")), (64,), tuple("0123456789"), None)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((dense("a"), dense("a")), "a name of its own"),
        ((dense("input"),), "none called 'input'"),
        ((dense("a"), dense("b", inputs=["input"])), "layer 'a'.*a later layer that reads it"),
        (
            (dense("a"), dense("b", 9), dense("c", inputs=["a", "b"], join="add")),
            r"agree in all axes.*\[8\] and \[9\]",
        ),
    ],
)
def test_wiring_that_cannot_be_is_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        build(recipe_of(*layers), (64,), tuple("0123456789"), None)


def test_a_name_is_a_word():
    with pytest.raises(ConfigError, match="name"):
        recipe_of(dense("a/b"))
