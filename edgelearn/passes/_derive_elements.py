"""The rules of functions of elements, and of the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelearn.ir.graph import Node
from edgelearn.ir.ops import Binary, BinaryKind, Reduce, UnaryKind
from edgelearn.passes._shapes import spread

if TYPE_CHECKING:
    from edgelearn.passes.backward import Backward


def binary(back: Backward, node: Node, kind: BinaryKind, d: str) -> None:
    """Where two values are equal, maximum and minimum are the second."""
    b, (x, y) = back.b, node.inputs
    if any(b.specs[value].shape != b.specs[node.output].shape for value in (x, y)):
        d = spread(b, d, node.output)
    match kind:
        case "add":
            back.send(x, d)
            back.send(y, d)
        case "sub":
            back.send(x, d)
            if back.wants(y):
                back.send(y, b.unary("neg", d))
        case "mul":
            _product(back, node, d)
        case "div":
            _quotient(back, node, d)
        case "max" | "min":
            won = b.binary("mul", d, _first_wins(back, node, kind))
            back.send(x, won)
            if back.wants(y):
                back.send(y, b.binary("sub", d, won))


def _first_wins(back: Backward, node: Node, kind: BinaryKind) -> str:
    """1 where the maximum or minimum is the first of two values, and not the second, else 0."""
    b, (x, y), out = back.b, node.inputs, node.output
    if kind == "max" and _is_leak(back, x, y):
        return b.unary("relu", b.unary("sign", out))
    return b.unary("sign", b.binary("sub", out, y) if kind == "max" else b.binary("sub", y, out))


def _is_leak(back: Backward, x: str, y: str) -> bool:
    """Whether `y` is a part of `x`, so that ``max(x, y)`` itself tells which: a leaky relu."""
    maker = back.makers.get(y)
    if maker is None or maker.op != Binary("mul") or maker.inputs[0] != x:
        return False
    factor = back.b.constants.get(maker.inputs[1])
    return factor is not None and factor.shape == () and 0 < float(factor) < 1


def _product(back: Backward, node: Node, d: str) -> None:
    b, (x, y) = back.b, node.inputs
    if back.wants(x):
        back.send(x, b.binary("mul", d, y))
    if back.wants(y):
        back.send(y, b.binary("mul", d, x))


def _quotient(back: Backward, node: Node, d: str) -> None:
    b, (x, y) = back.b, node.inputs
    part = b.binary("div", d, y)
    back.send(x, part)
    if back.wants(y):
        back.send(y, b.unary("neg", b.binary("mul", part, node.output)))


def unary(back: Backward, node: Node, kind: UnaryKind, d: str) -> None:
    """Where a function has a corner, at 0, its slope is taken to be 0 there."""
    b, (x,), y = back.b, node.inputs, node.output
    match kind:
        case "tanh":
            slope = b.binary("sub", b.scalar(1), b.binary("mul", y, y))
            error = b.binary("mul", d, slope)
        case "sigmoid":
            slope = b.binary("mul", y, b.binary("sub", b.scalar(1), y))
            error = b.binary("mul", d, slope)
        case "relu":
            error = b.binary("mul", d, b.unary("sign", y))
        case "abs":
            error = b.binary("mul", d, b.unary("sign", x))
        case "exp":
            error = b.binary("mul", d, y)
        case "log":
            error = b.binary("div", d, x)
        case "sqrt":
            error = b.binary("div", d, b.binary("add", y, y))
        case "neg":
            error = b.unary("neg", d)
        case "sign":
            return
    back.send(x, error)


def softmax(back: Backward, node: Node, d: str) -> None:
    """``y * (d - sum(y * d))`` over the last axis."""
    b, y = back.b, node.output
    last = (len(b.specs[y].shape) - 1,)
    total = b.apply(Reduce("sum", last, keepdims=True), b.binary("mul", d, y))
    back.send(node.inputs[0], b.binary("mul", y, b.binary("sub", d, total)))
