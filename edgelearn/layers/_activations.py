"""Element-wise functions that several layers share, on arrays and in the Graph."""

from __future__ import annotations

from typing import Literal, TypeAlias

from edgelearn import kernels
from edgelearn.ir.builder import Builder

Activation: TypeAlias = Literal["tanh", "relu", "leaky_relu", "linear", "softmax"]
LEAK = 0.01
"""Slope of leaky_relu below zero."""
GAINS = {"relu": 2.0, "leaky_relu": 2.0}
"""How much wider a layer is drawn for the half that its activation cuts away."""


def code(activation: str) -> int:
    """The number that kernels know `activation` by."""
    dense = kernels.dense
    codes = {
        "linear": dense.LINEAR,
        "tanh": dense.TANH,
        "relu": dense.RELU,
        "leaky_relu": dense.LEAKY_RELU,
        "softmax": dense.SOFTMAX,
    }
    return codes[activation]


def emit(b: Builder, activation: Activation, z: str) -> str:
    """``act(z)`` as nodes."""
    match activation:
        case "tanh" | "relu":
            return b.unary(activation, z)
        case "leaky_relu":
            return b.binary("max", z, b.binary("mul", z, b.scalar(LEAK)))
        case "softmax":
            return b.softmax(z)
        case "linear":
            return z


def emit_slope(b: Builder, activation: Activation, a: str) -> str | None:
    """``act'(z)`` as nodes, which follows from the activation `a`; None for 1."""
    match activation:
        case "tanh":
            return b.binary("sub", b.scalar(1), b.binary("mul", a, a))
        case "relu":
            return b.unary("sign", a)
        case "leaky_relu":
            positive = b.unary("relu", b.unary("sign", a))
            return b.binary("max", positive, b.scalar(LEAK))
        case "softmax" | "linear":
            return None


def emit_error(b: Builder, activation: Activation, a: str, e: str) -> str:
    """``e * act'(z)`` as nodes; of softmax `e` is the error of z already."""
    slope = emit_slope(b, activation, a)
    return e if slope is None else b.binary("mul", e, slope)
