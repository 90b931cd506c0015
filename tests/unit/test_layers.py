"""What single layers promise beyond what all layers do, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.config import parse_recipe
from edgelearn.datasets import Source, describe
from edgelearn.errors import ConfigError, DataValueError
from edgelearn.ir import BATCH, Builder, run
from edgelearn.layers.avg_pool import AvgPool
from edgelearn.layers.conv1d import Conv1d
from edgelearn.layers.conv2d import Conv2d
from edgelearn.layers.embedding import Embedding
from edgelearn.layers.flatten import Flatten
from edgelearn.layers.global_pool import GlobalPool
from edgelearn.layers.max_pool1d import MaxPool1d
from edgelearn.planning import blank_network
from edgelearn.rng import Stream, uniform


def draw(*shape):
    return uniform(3, Stream.INIT, 3, shape, 1.0)


def ahead(layer, x, params=None):
    """The activation of `layer` for a batch `x`, its work space poisoned."""
    shape = x.shape[1:]
    params = layer.init(shape, 0, 0) if params is None else params
    space = np.full(layer.scratch_size(shape, len(x)), np.nan, np.float32)
    return layer.forward(
        params, x, np.empty((len(x), *layer.out_shape(shape)), np.float32), space
    ).a


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(filters=4, kernel=3, stride=2),
        Conv2d(filters=6, groups=3, padding="valid", dilation=2),
        AvgPool(window=3, stride=2, padding="same"),
    ],
    ids=str,
)
def test_each_image_of_a_sequence_is_treated_as_if_alone(layer):
    x = draw(2, 5, 7, 8, 3)
    params = layer.init((7, 8, 3), 0, 0)
    together = ahead(layer, x, params)
    apart = ahead(layer, x.reshape(10, 7, 8, 3), params)
    np.testing.assert_array_equal(together, apart.reshape(together.shape))


def test_all_images_of_a_sequence_teach_the_filters():
    """The update of a sequence is the mean of the updates of its images."""
    layer, x = Conv2d(filters=4), draw(2, 5, 6, 6, 3)
    params = layer.init((6, 6, 3), 0, 0)
    e = draw(2, 36)  # cells of 2 x 2, four channels
    into = []
    for images, error in ((x, e), (x.reshape(10, 6, 6, 3), np.repeat(e, 5, axis=0) / 5)):
        shape = images.shape[1:]
        space = np.full(layer.scratch_size(shape, len(images)), np.nan, np.float32)
        out = np.empty((len(images), *layer.out_shape(shape)), np.float32)
        trace = layer.forward(params, images, out, space)
        moved = {key: np.zeros_like(value) for key, value in params.items()}
        coarse = layer.view(shape).back(error.copy())
        layer.update(params, trace, coarse, 1.0, moved, space)
        into.append(moved)
    for key, value in into[0].items():
        np.testing.assert_allclose(value, into[1][key], atol=1e-5)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 4), (2, 1), (3, 2)])
def test_a_causal_convolution_sees_no_later_step(stride, dilation):
    layer = Conv1d(filters=3, kernel=3, stride=stride, dilation=dilation, padding="causal")
    x = draw(1, 12, 2)
    before = ahead(layer, x).copy()
    assert before.shape[1] == -(-12 // stride)
    for step in range(12):
        later = x.copy()
        later[:, step:] += 1
        changed = (ahead(layer, later) != before).any(axis=(0, 2))
        assert not changed[: -(-step // stride)].any()
        if step % stride == 0:
            assert changed[step // stride]


def test_a_sequence_is_seen_as_the_means_of_stretches_of_time():
    layer, a = Conv1d(filters=3), draw(2, 20, 3)
    view = layer.view((20, 2))
    seen = view.of(a, np.empty((2, view.size), np.float32)).reshape(2, -1, 3)
    assert seen.shape == (2, 7, 3)  # stretches of three steps, the last of two
    np.testing.assert_allclose(seen[:, 0], a[:, :3].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(seen[:, 6], a[:, 18:].mean(axis=1), atol=1e-6)


def test_a_readout_of_tokens_sees_real_steps_only():
    layer = Embedding(vocabulary=7, units=4, masked=True)
    x = np.array([[[3, 1], [5, 1], [0, 0]]], np.float32)
    params = layer.init((3, 2), 0, 0)
    view = layer.view((3, 2))
    seen = view.of(ahead(layer, x, params), np.empty((1, 4), np.float32))
    np.testing.assert_allclose(seen[0], params["w"][[3, 5]].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("bad", [-1, 7, 2.5, np.nan])
def test_a_number_that_is_no_token_is_refused(bad):
    layer = Embedding(vocabulary=7, units=4)
    with pytest.raises(DataValueError, match="whole numbers from 0 to 6"):
        ahead(layer, np.array([[0, bad, 6]], np.float32))


def test_the_graph_takes_the_nearest_token():
    layer, b = Embedding(vocabulary=7, units=4), Builder("tokens")
    params = layer.init((4,), 0, 0)
    x = b.input("x", (BATCH, 4))
    names = {"w": b.constant("w", params["w"])}
    graph = b.graph([b.rename(layer.emit(b, names, x).a, "a")])
    found = run(graph, {"x": np.array([[-3, 9, 6, 2]], np.float32)}).outputs["a"]
    np.testing.assert_array_equal(found[0], params["w"][[0, 6, 6, 2]])


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv2d(filters=6, groups=4), (8, 8, 6), "groups that divide 6 channels and 6 filters"),
        (Conv1d(filters=8, groups=3), (8, 9), "write groups = 1"),
        (Conv2d(filters=6), (8,), "images"),
        (Conv2d(filters=6, kernel=5, padding="valid"), (4, 9, 1), "window"),
        (Conv1d(filters=6), (8, 8, 3), "sequences"),
        (Conv1d(filters=6, kernel=3, dilation=4, padding="valid"), (8, 3), "window"),
        (Conv2d(filters=6, kernel=17), (8, 9, 1), "kernel = 17.*kernel = 15 or less"),
        (Conv2d(filters=6, kernel=3, dilation=8), (8, 9, 1), "dilation = 8.*kernel = 2 or less"),
        (Conv1d(filters=6, kernel=16), (8, 3), "8 x 1 places.*kernel = 15 or less"),
        (MaxPool1d(window=9), (8, 3), "window"),
        (GlobalPool(), (8,), "channels last"),
        (GlobalPool(keep_steps=True), (8, 3), "keep_steps"),
        (Flatten(keep_steps=True), (8,), "leave keep_steps out"),
        (Embedding(vocabulary=5, units=3), (8, 2), "tokens"),
        (Embedding(vocabulary=5, units=3, masked=True), (8,), r"\[steps, 2\]"),
    ],
    ids=str,
)
def test_inputs_that_do_not_fit_are_refused(layer, shape, message):
    with pytest.raises(ConfigError, match=message):
        layer.out_shape(shape)


@pytest.mark.parametrize("kernel", [8, 9, 15])
def test_a_filter_may_be_larger_than_the_image(kernel):
    """As the interpreter's own convolution has it, and every weight has something to learn from."""
    layer, x = Conv2d(filters=2, kernel=kernel), draw(3, 8, 8, 1)
    params = layer.init((8, 8, 1), 0, 0)
    b = Builder("conv")
    names = {key: b.constant(key, value) for key, value in params.items()}
    graph = b.graph([layer.emit(b, names, b.input("x", (BATCH, 8, 8, 1))).a])
    (found,) = run(graph, {"x": x}).outputs.values()
    np.testing.assert_allclose(ahead(layer, x, params), found, atol=1e-5)
    for row, column in np.ndindex(kernel, kernel):
        moved = {"w": params["w"].copy(), "b": params["b"] + 5}  # no unit is cut off
        moved["w"][row, column] += 1
        before = ahead(layer, x, {**moved, "w": params["w"]}).copy()
        assert not np.array_equal(ahead(layer, x, moved), before)


def test_tokens_are_not_normalised():
    tables = {
        "dataset": {"name": "digits"},
        "layers": [
            {"kind": "embedding", "vocabulary": 17, "units": 4},
            {"kind": "dense", "units": 10, "activation": "softmax"},
        ],
    }
    spec = describe(Source(name="digits"))
    with pytest.raises(ConfigError, match=r"'embedding1'.*normalize = \"none\" under \[input\]"):
        blank_network(parse_recipe(tables, "recipe"), spec)
    tables["input"] = {"normalize": "none"}
    assert blank_network(parse_recipe(tables, "recipe"), spec).blocks
