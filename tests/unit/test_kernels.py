"""Compiled kernels equal their Python source, and have one signature each."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sequence_cases import learned, readout_of

from edgelearn import engine, kernels, workflow
from edgelearn.buffers import Buffers
from edgelearn.kernels import (
    cells,
    dense,
    errors,
    functions,
    leaky,
    mingru,
    products,
    recurrent,
    signs,
    similarity,
)
from edgelearn.layers import SequenceLearner, examples

KERNELS = {
    f"{module.__name__.rsplit('.', 1)[1]}.{name}": function
    for module in (dense, errors, signs, similarity)
    for name, function in vars(module).items()
    if hasattr(function, "py_func") and function.py_func.__module__ == module.__name__
}


def arguments(function, seed=0):
    """Arrays for a kernel, by the names of its parameters."""
    rng = np.random.default_rng(seed)
    batch, fan_in, units = 5, 7, 4

    def floats(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    made = {
        "x": floats(batch, fan_in) * (rng.random((batch, fan_in)) < 0.7),
        "mean": floats(fan_in),
        "scale": floats(fan_in),
        "w": floats(fan_in, units),
        "b": floats(units),
        "p": floats(units, units),
        "z": floats(batch, units),
        "row": floats(units),
        "a": rng.random((batch, units)).astype(np.float32),
        "d": floats(batch, units),
        "e": floats(batch, units),
        "logits": floats(batch, units),
        "labels": rng.integers(0, units, batch),
        "scores": floats(batch, units),
        "loss": np.zeros(2, np.float32),
        "targets": floats(batch, units),
        "epsilon": 1e-5,
        "key": np.array([1 << 63], np.uint64),
        "first": 12,
        "size": 0.5,
        "rate": 0.1,
        "out": floats(batch, units),
        "apart": -0.25,
        "norms": rng.random(batch).astype(np.float32),
        "pairs": floats(batch, batch),
    }
    return [made[name] for name in inspect.signature(function.py_func).parameters if name in made]


def calls(function):
    """The argument lists to try: one, or one for each activation."""
    names = list(inspect.signature(function.py_func).parameters)
    if "kind" not in names:
        return [arguments(function)]
    lists = []
    for kind in (dense.LINEAR, dense.TANH, dense.RELU, dense.LEAKY_RELU, dense.SOFTMAX):
        values = arguments(function)
        values.insert(names.index("kind"), kind)
        lists.append(values)
    return lists


def copied(values):
    return [v.copy() if isinstance(v, np.ndarray) else v for v in values]


def test_all_kernels_are_found():
    assert len(KERNELS) >= 12


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_equals_python(name):
    function = KERNELS[name]
    changed = False
    for values in calls(function):
        compiled, plain = copied(values), copied(values)
        function(*compiled)
        with np.errstate(over="ignore"):  # of counters
            function.py_func(*plain)
        for before, one, other in zip(values, compiled, plain, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
            changed |= not np.array_equal(before, one)
    assert changed


@pytest.mark.parametrize("batch", [1, 32])
def test_a_training_step_compiles_one_signature_a_kernel(digits, batch):
    recipe = workflow.embedded_recipe((f"train.batch={batch}",))
    network = workflow.new_model(recipe, digits).network
    buffers = Buffers(network, batch)
    loaded = buffers.load(digits.x_train, digits.y_train, np.arange(batch))
    engine.train_step(buffers, *loaded, 0.1, [0, 1])
    engine.forward(loaded[0], buffers)
    for name, function in KERNELS.items():
        signatures = getattr(function, "signatures", [])
        assert len(signatures) <= 1, f"{name}: {signatures}"


def test_learning_sequences_compiles_one_signature_a_kernel():
    for layer, in_shape in examples():
        if isinstance(layer, SequenceLearner):
            params, readout = layer.init(in_shape, 0, 0), readout_of(layer, in_shape)
            for batch in (1, 5):
                x = np.ones((batch, *in_shape), np.float32)
                labels = np.zeros(batch, np.int64)
                into = {**params, "p": readout.projection}
                learned(layer, params, x, labels, readout, 0.1, into)
    found = 0
    for module in (cells, leaky, mingru, products, recurrent):
        for name, function in vars(module).items():
            signatures = getattr(function, "signatures", [])
            found += len(signatures)
            assert len(signatures) <= 1, f"{name}: {signatures}"
    assert found >= 8 or not hasattr(recurrent.steps, "py_func")


def test_products_are_those_of_blas_for_every_rest_of_a_block():
    rng = np.random.default_rng(0)
    for rows in (1, 2, 5):
        for inner in (1, 3, 4, 11):
            x, w, z = (
                rng.standard_normal(shape).astype(np.float32)
                for shape in ((rows, inner), (inner, 6), (rows, 6))
            )
            products.product(x, w, z)
            np.testing.assert_allclose(z, x @ w, rtol=1e-5, atol=1e-6)


def test_unknown_kernel_module():
    with pytest.raises(AttributeError):
        _ = kernels.no_such_module


def test_tanh_and_sigmoid_are_as_good_as_float32():
    x = np.concatenate([np.linspace(-20, 20, 20_001), [0, 1e-30, 1e30, -1e30]]).astype(np.float32)
    exact = np.tanh(x.astype(np.float64))
    found = np.array([functions.tanh(value) for value in x], np.float32)
    assert np.abs(found - exact).max() < 4e-7
    assert np.abs(found).max() <= 1
    logistic = np.array([functions.sigmoid(value) for value in x])
    assert np.abs(logistic - (0.5 + 0.5 * np.tanh(x.astype(np.float64) / 2))).max() < 3e-7
    assert np.isnan(functions.tanh(np.float32(np.nan)))
