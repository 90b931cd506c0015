"""Sequences fed one time step a run: after every step, what the whole Graph says of the prefix."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from recurrent_networks import as_steps, recipe_of
from tolerances import ENGINE_F32

from edgelearn import modelfile, workflow
from edgelearn.cli import run as edgelearn
from edgelearn.datasets import Dataset
from edgelearn.errors import ConfigError
from edgelearn.export.describe import read_model
from edgelearn.export.onnx_writer import names_of, to_bytes
from edgelearn.ir import run
from edgelearn.layers import SequenceLearner, Streamer, examples
from edgelearn.lowering import to_graph, to_stream_graph
from edgelearn.runtimes.onnx import OnnxSession

RECURRENT = sorted({layer.kind for layer, _ in examples() if isinstance(layer, SequenceLearner)})


def with_mask(data):
    """Sequences of different lengths: some rows of an image at the end are padding."""

    def masked(x):
        mask = np.arange(x.shape[1]) < 3 + np.arange(len(x))[:, None] % 6
        return np.concatenate([x * mask[..., None], mask[..., None]], axis=2).astype(np.float32)

    return Dataset(
        data.name,
        masked(data.x_train),
        data.y_train,
        masked(data.x_test),
        data.y_test,
        data.classes,
        masked=True,
    )


def stacks():
    """One layer of every kind and return, two on top of each other, with and without mask."""
    for kind in RECURRENT:
        for returns in ("last", "mean", "last_mean"):
            yield f"{kind}-{returns}", ({"kind": kind, "units": 6, "returns": returns},)
        below = {"kind": kind, "units": 5, "returns": "sequence"}
        above = {"kind": kind, "units": 4}
        yield f"{kind}-two", (below, above, {"kind": "layer_norm"}, {"kind": "dense", "units": 7})
    below = {"kind": "gru", "units": 5, "returns": "sequence"}
    yield "dropout", (below, {"kind": "dropout"}, {"kind": "mingru", "units": 4})


CASES = [pytest.param(layers, id=name) for name, layers in stacks()]


def model_of(layers, data):
    if data.masked:
        layers = [
            {**layer, "masked": True} if layer["kind"] in (*RECURRENT, "dropout") else layer
            for layer in layers
        ]
    return workflow.new_model(recipe_of(*layers), data)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("layers", CASES)
def test_every_prefix(layers, masked, digits):
    data = as_steps(digits, 8)
    data = with_mask(data) if masked else data
    network = model_of(layers, data).network
    stream = to_stream_graph(network)
    session, names = OnnxSession(to_bytes(stream)), names_of(stream).states
    assert all(output == f"{name}.next" for name, output in names.items())
    for count in (1, 5):
        x = data.x_test[:count].astype(np.float32)
        states, fed_back = {}, {}
        for t in range(x.shape[1]):
            step = np.ascontiguousarray(x[:, t])
            found = run(stream, {"x": step}, states)
            by_runtime = session.run({"x": step, **fed_back})
            states = found.states
            fed_back = {name: by_runtime[output] for name, output in names.items()}
            prefix = to_graph(replace(network, in_shape=(t + 1, x.shape[2])))
            expected = run(prefix, {"x": x[:, : t + 1]}).outputs["probabilities"]
            np.testing.assert_allclose(
                found.outputs["probabilities"], expected, atol=ENGINE_F32, err_msg=f"step {t}"
            )
            np.testing.assert_allclose(by_runtime["probabilities"], expected, atol=ENGINE_F32)


def test_every_recurrent_layer_streams():
    layers = [layer for layer, _ in examples() if layer.kind in RECURRENT]
    assert all(isinstance(layer, Streamer) for layer in layers)
    assert len(RECURRENT) >= 6


@pytest.mark.parametrize(
    ("layers", "over", "match"),
    [
        (({"kind": "gru", "units": 4, "reverse": True},), "channel", "reverse = true"),
        (({"kind": "gru", "units": 4},), "feature", "mean of its own for every step"),
        (({"kind": "dense", "units": 4},), "all", "kind 'dense'"),
        (({"kind": "layer_norm"}, {"kind": "gru", "units": 4}), "all", "kind 'layer_norm'"),
    ],
)
def test_what_needs_the_whole_sequence_is_refused(layers, over, match, digits):
    network = workflow.new_model(recipe_of(*layers, over=over), as_steps(digits, 8)).network
    with pytest.raises(ConfigError, match=match):
        to_stream_graph(network)


def test_samples_without_time_are_refused(trained):
    with pytest.raises(ConfigError, match="samples of shape"):
        to_stream_graph(trained.network)


@pytest.fixture
def stream_file(digits, tmp_path):
    """A model of rows, and where its stream is written."""
    model = model_of(({"kind": "gru", "units": 6},), as_steps(digits, 8))
    modelfile.save(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors", tmp_path / "stream.onnx"


def test_export_writes_a_stream_that_was_run_over_real_sequences(stream_file, digits, capsys):
    model, out = stream_file
    arguments = ["export", str(out), "--model", str(model), "--form", "stream", "--json"]
    assert edgelearn(arguments) == 0
    assert json.loads(capsys.readouterr().out)["max_abs_error"]["onnxruntime"] < ENGINE_F32
    (graph,) = read_model(out).graphs.values()
    assert graph.specs["x"].shape == (-1, 8)
    assert {state.input for state in graph.states} == {"gru1.h", "gru1.total", "gru1.count"}
    assert edgelearn(["simulate", str(out), "--device", "rpi-4b"]) == 0
    assert edgelearn(["inspect", str(out)]) == 0
    assert "gru1.h: float32[batch, 6]" in capsys.readouterr().out


def test_a_stream_that_computes_something_else_is_not_kept(stream_file, monkeypatch, capsys):
    from edgelearn.export import onnx_target

    model, out = stream_file
    right = onnx_target.to_bytes

    def wrong(graph, **options):
        states = tuple(replace(state, init=state.init + np.float32(0.01)) for state in graph.states)
        return right(replace(graph, states=states), **options)

    monkeypatch.setattr(onnx_target, "to_bytes", wrong)
    assert edgelearn(["export", str(out), "--model", str(model), "--form", "stream"]) == 1
    assert not out.exists()
    assert "E1001" in capsys.readouterr().err


def test_a_training_step_is_no_stream(stream_file, capsys):
    model, out = stream_file
    command = ["export", str(out), "--model", str(model), "--form", "stream", "--phase", "train"]
    assert edgelearn(command) == 2
    assert "E2006" in capsys.readouterr().err
