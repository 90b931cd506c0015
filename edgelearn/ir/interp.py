"""The NumPy meaning of every op: the oracle that every runtime is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import assert_never

from edgelearn.arrays import Array
from edgelearn.errors import DataShapeError
from edgelearn.ir.graph import Graph
from edgelearn.ir.interp_quant import dequantize, quantize
from edgelearn.ir.interp_sparse import sparse
from edgelearn.ir.interp_spatial import add_conv_outer, conv2d, conv_transpose2d, pool2d
from edgelearn.ir.ops import (
    AddConvOuter,
    AddOuter,
    ApplyMask,
    BatchSize,
    Binary,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dequantize,
    Gather,
    Keep,
    MatMul,
    OneHot,
    Op,
    Pool2d,
    Quantize,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    SparseAddOuter,
    SparseMatMul,
    ToInt,
    Transpose,
    Unary,
)
from edgelearn.ir.ops_chance import ALL
from edgelearn.ir.tensor import TensorSpec
from edgelearn.rng import drawn


def _relu(a: Array) -> Array:
    value: Array = np.maximum(a, a.dtype.type(0))
    return value


def _sigmoid(a: Array) -> Array:
    one = a.dtype.type(1)
    small = np.exp(-np.abs(a))
    value: Array = np.where(a >= 0, one / (one + small), small / (one + small))
    return value


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}
UNARY: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "neg": np.negative,
}
REDUCE: dict[str, Callable[..., Any]] = {"sum": np.sum, "mean": np.mean, "max": np.max}


def _softmax(a: Array) -> Array:
    powers: Array = np.exp(a - a.max(axis=-1, keepdims=True))
    value: Array = powers / powers.sum(axis=-1, keepdims=True, dtype=a.dtype)
    return value


def _one_hot(labels: Array, depth: int) -> Array:
    hits: Array = labels[..., None] == np.arange(depth)
    return hits.astype(np.float32)


def _keep(op: Keep, x: Array, step: Array) -> Array:
    if step == 0:
        return x
    kept = drawn(op.key, int(step), x.size).reshape(x.shape) < op.share
    value: Array = np.where(kept, x * (np.float32(ALL) / np.float32(op.share)), np.float32(0))
    return value


def _along(a: Array, axis: int, start: int, stop: int) -> tuple[slice, ...]:
    picks = [slice(None)] * a.ndim
    picks[axis] = slice(start, stop)
    return tuple(picks)


def evaluate(op: Op, *inputs: Array) -> Array:  # noqa: C901, PLR0912, PLR0915  one arm an op
    """The value of one op.

    >>> import numpy as np
    >>> evaluate(Softmax(), np.zeros((1, 4), np.float32)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    a = inputs[0]
    value: Any
    match op:
        case MatMul():
            value = (a.T if op.transpose_a else a) @ (inputs[1].T if op.transpose_b else inputs[1])
        case AddOuter():
            value = a + inputs[1].T @ inputs[2]
        case AddConvOuter():
            value = add_conv_outer(op, a, inputs[1], inputs[2])
        case Binary():
            value = BINARY[op.kind](a, inputs[1])
        case Unary():
            value = UNARY[op.kind](a)
        case ApplyMask():
            value = np.where(inputs[1] != 0, a, a.dtype.type(0))
        case Keep():
            value = _keep(op, a, inputs[1])
        case Softmax():
            value = _softmax(a)
        case Reduce():
            value = REDUCE[op.kind](a, axis=op.axes, keepdims=op.keepdims)
        case Reshape():
            value = a.reshape(op.shape)
        case OneHot():
            value = _one_hot(a, op.depth)
        case ToInt():
            value = a.astype(np.int64)
        case Gather():
            value = a[inputs[1]]
        case BatchSize():
            value = np.float32(a.shape[0])
        case Conv2d():
            value = conv2d(op, a, inputs[1])
        case ConvTranspose2d():
            value = conv_transpose2d(op, a, inputs[1])
        case Pool2d():
            value = pool2d(op, a)
        case Transpose():
            value = a.transpose(op.perm)
        case Concat():
            value = np.concatenate(inputs, axis=op.axis)
        case Slice():
            value = a[_along(a, op.axis, op.start, op.stop)]
        case SparseMatMul() | SparseAddOuter():
            value = sparse(op, *inputs)
        case Quantize():
            value = quantize(op, a)
        case Dequantize():
            value = dequantize(op, a)
        case _:
            assert_never(op)
    return np.asarray(value)


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What one run gives back: outputs by name, and states by the name they are read under."""

    outputs: dict[str, Array]
    states: dict[str, Array]


def _feed(
    graph: Graph, name: str, value: Array, batch: int | None
) -> tuple[TensorSpec, int | None]:
    spec = graph.specs[name]
    if spec.has_batch and value.ndim == len(spec.shape) and batch is None:
        batch = value.shape[spec.shape.index(-1)]
    wanted = spec if batch is None else spec.bind(batch)
    if not wanted.accepts(value):
        raise DataShapeError(
            f"graph {graph.name!r}, input {name!r}",
            expected=str(wanted),
            got=f"{value.dtype}{list(value.shape)}",
            fix="feed an array of that shape and dtype",
        )
    return wanted, batch


def given(
    graph: Graph, feeds: Mapping[str, Array], states: Mapping[str, Array]
) -> dict[str, Array]:
    """Constants, inputs and states by name: what a run begins with, checked as `run` says."""
    missing = [name for name in graph.inputs if name not in feeds]
    if missing:
        raise DataShapeError(
            f"graph {graph.name!r}",
            expected=f"inputs {list(graph.inputs)}",
            got=f"none for {missing}",
            fix="feed every input",
        )
    values: dict[str, Array] = dict(graph.constants)
    batch: int | None = None
    for name in graph.inputs:
        _, batch = _feed(graph, name, feeds[name], batch)
        values[name] = feeds[name]
    for state in graph.states:
        spec = graph.specs[state.input].bind(batch or 1)
        value = states.get(state.input, state.init)
        values[state.input] = np.broadcast_to(value, spec.shape)
    return values


class Runner:
    """Runs one Graph many times; a value is forgotten when nobody reads it any more."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._spent = _spent(graph)

    def run(
        self, feeds: Mapping[str, Array], states: Mapping[str, Array] | None = None
    ) -> RunResult:
        """Run it once; see `run`."""
        graph = self.graph
        values = given(graph, feeds, states or {})
        for node, spent in zip(graph.nodes, self._spent, strict=True):
            values[node.output] = evaluate(node.op, *(values[name] for name in node.inputs))
            for name in spent:
                del values[name]
        return RunResult(
            {name: values[name] for name in graph.outputs},
            {state.input: values[state.output] for state in graph.states},
        )


def _spent(graph: Graph) -> list[set[str]]:
    """For each node the values that nobody reads after it."""
    read = {*graph.outputs, *(state.output for state in graph.states)}
    found = []
    for node in reversed(graph.nodes):
        found.append({*node.inputs, node.output} - read)
        read |= found[-1]
    return found[::-1]


def run(
    graph: Graph, feeds: Mapping[str, Array], states: Mapping[str, Array] | None = None
) -> RunResult:
    """Run `graph` once in NumPy.

    Parameters
    ----------
    graph : Graph
        Bound or not; an open batch takes its length from `feeds`.
    feeds : mapping of str to array
        One array for every input.
    states : mapping of str to array, optional
        State values by input name; those left out start at their `init`.

    Raises
    ------
    DataShapeError
        If an input is missing or has another shape or dtype than its spec.
    """
    return Runner(graph).run(feeds, states)
