"""What each TFLite operator is in the Graph: products, element-wise functions and reductions.

An arm gets the values known so far and one operator. It returns the last op that makes the
operator's output, with its inputs, or None if it has seen to the output itself; the reader adds
a fused activation, and what quantises. It raises `GraphError` for a form that it cannot read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from edgelearn.export.tflite_parts import TfliteNode, refused
from edgelearn.export.tflite_values import Values
from edgelearn.ir.ops import (
    ApplyMask,
    Binary,
    BinaryKind,
    MatMul,
    Op,
    Reduce,
    ReduceKind,
    Reshape,
    Softmax,
    SparseMatMul,
    Unary,
    UnaryKind,
)

Made: TypeAlias = tuple[Op, list[str]] | None
Arm: TypeAlias = Callable[[Values, TfliteNode], Made]


def _binary(kind: BinaryKind) -> Arm:
    def arm(v: Values, n: TfliteNode) -> Made:
        return Binary(kind), [v.read(i) for i in n.inputs]

    return arm


def _unary(kind: UnaryKind) -> Arm:
    def arm(v: Values, n: TfliteNode) -> Made:
        return Unary(kind), [v.read(n.inputs[0])]

    return arm


def _reduce(kind: ReduceKind) -> Arm:
    def arm(v: Values, n: TfliteNode) -> Made:
        rank = len(v.shape(n.inputs[0]))
        axes = tuple(int(a) % rank for a in np.atleast_1d(v.constant(n, 1)))
        return Reduce(kind, axes, bool(n.option("KeepDims"))), [v.read(n.inputs[0])]

    return arm


def with_bias(v: Values, n: TfliteNode, op: Op, inputs: list[str]) -> Made:
    """`op`, and the bias that is input 2 if the file has one."""
    if not v.has(n, 2):
        return op, inputs
    return Binary("add"), [v.step(n.out, op, *inputs), v.read(n.inputs[2])]


def _fully_connected(v: Values, n: TfliteNode) -> Made:
    if n.option("WeightsFormat"):
        raise refused("weights in their default order", "shuffled ones")
    x, shape = v.read(n.inputs[0]), v.shape(n.inputs[0])
    units, columns = v.shape(n.inputs[1])
    rows = math.prod(shape) // columns
    if shape != (rows, columns):
        x = v.step(n.out, Reshape((rows, columns)), x)
    op, weights = _product(v, n)
    made = with_bias(v, n, op, [x, *weights])
    if made is None or v.shape(n.out) == (rows, units):
        return made
    return Reshape(v.shape(n.out)), [v.step(n.out, made[0], *made[1])]


def _product(v: Values, n: TfliteNode) -> tuple[Op, list[str]]:
    """The product with weights (outputs, inputs), and what it reads of them."""
    w = n.inputs[1]
    structure = v.tensors[w].structure
    if structure is None:
        return MatMul(transpose_b=True), [v.weights(w) or v.read(w)]
    places = [v.once(w, "starts", structure.starts), v.once(w, "index", structure.index)]
    return SparseMatMul(*structure.shape, structure.block), [v.raw(w), *places]


def _batch_matmul(v: Values, n: TfliteNode) -> Made:
    op = MatMul(bool(n.option("AdjX")), bool(n.option("AdjY")))
    return op, [v.read(i) for i in n.inputs]


def _softmax(v: Values, n: TfliteNode) -> Made:
    x, beta = v.read(n.inputs[0]), n.option("Beta", 1.0)
    if beta != 1:
        x = v.step(n.out, Binary("mul"), x, v.scalar(beta))
    return Softmax(), [x]


def _select(v: Values, n: TfliteNode) -> Made:
    condition, a, other = n.inputs
    zero = other in v.constants and not v.constants[other].any()
    if not zero or v.shape(condition) != v.shape(a):
        raise refused("a mask of the shape of what it masks, and 0 elsewhere", "another selection")
    return ApplyMask(), [v.read(a), v.raw(condition)]


def clipped(v: Values, n: TfliteNode, x: str, low: float, high: float) -> Made:
    """`x` between two bounds."""
    above = v.step(n.out, Binary("max"), x, v.scalar(low))
    return Binary("min"), [above, v.scalar(high)]


def _clip(low: float, high: float) -> Arm:
    return lambda v, n: clipped(v, n, v.read(n.inputs[0]), low, high)


def _leaky_relu(v: Values, n: TfliteNode) -> Made:
    """For a slope of at most 1 the larger of ``x`` and ``slope * x``."""
    x, slope = v.read(n.inputs[0]), n.option("Alpha")
    if not 0 <= slope <= 1:
        raise refused("a slope of 0 to 1", f"{slope}")
    return Binary("max"), [x, v.step(n.out, Binary("mul"), x, v.scalar(slope))]


def _square(v: Values, n: TfliteNode) -> Made:
    x = v.read(n.inputs[0])
    return Binary("mul"), [x, x]


ARMS: dict[str, Arm] = {
    "ADD": _binary("add"),
    "SUB": _binary("sub"),
    "MUL": _binary("mul"),
    "DIV": _binary("div"),
    "MAXIMUM": _binary("max"),
    "MINIMUM": _binary("min"),
    "TANH": _unary("tanh"),
    "RELU": _unary("relu"),
    "LOGISTIC": _unary("sigmoid"),
    "EXP": _unary("exp"),
    "LOG": _unary("log"),
    "SQRT": _unary("sqrt"),
    "ABS": _unary("abs"),
    "SIGN": _unary("sign"),
    "NEG": _unary("neg"),
    "RELU6": _clip(0.0, 6.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "LEAKY_RELU": _leaky_relu,
    "SQUARE": _square,
    "SUM": _reduce("sum"),
    "MEAN": _reduce("mean"),
    "REDUCE_MAX": _reduce("max"),
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "SOFTMAX": _softmax,
    "SELECT_V2": _select,
}
