"""Operations that ONNX has no node for, as functions of the model's own, of standard nodes."""

from __future__ import annotations

from collections.abc import Callable

import onnx  # noqa: TID251  this file makes ONNX nodes

from edgelearn.ir.ops_chance import ALL

DOMAIN = "edgelearn"
VERSION = 1
FIRST_IR_VERSION = 8
"""The first version of the file format that has functions."""
LOW = 1 << 31


def keep(opset: int) -> onnx.FunctionProto:
    """`edgelearn.ir.ops.Keep`, with `edgelearn.rng.drawn` in it, of attributes share, low, high.

    The latter two are the key, 31 bits each.
    """
    body = _Body()
    low, zero = body.constant(LOW), body.constant(0)
    places = body.node("Range", zero, body.node("Size", "x"), body.constant(1))
    y = body.node("Mul", places, body.constant(0x5E3779B9))
    y = body.node("Mod", body.node("Add", y, body.moved("low", 0x3504F333)), low)
    apart = body.node("Mod", body.moved("high", 0x5A827999), low)
    z = body.squared(y, y, low)
    z = body.squared(z, body.node("Add", y, apart), low)
    z = body.squared(z, y, body.constant(ALL))
    number = body.node("Reshape", z, body.node("Shape", "x"))
    off = body.node("Equal", "step", zero)
    share = body.node("Where", off, body.constant(ALL), body.given("share"))
    divisor = body.node("Cast", share, to=onnx.TensorProto.FLOAT)
    scaled = body.node("Mul", "x", body.node("Div", body.constant(float(ALL)), divisor))
    body.node("Where", body.node("Less", number, share), scaled, body.constant(0.0), out="y")
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_function(
        DOMAIN, "Keep", ["x", "step"], ["y"], body.nodes, opsets, ["share", "low", "high"]
    )


FUNCTIONS: dict[str, Callable[[int], onnx.FunctionProto]] = {"Keep": keep}
"""Each by the name of its node, made for an opset."""


class _Body:
    """The nodes of a function as they are made; each method returns the name of a value."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def node(self, kind: str, *inputs: str, out: str = "", **attributes: float) -> str:
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(self, value: float) -> str:
        if isinstance(value, int):
            return self.node("Constant", value_int=value)
        return self.node("Constant", value_float=value)

    def given(self, attribute: str) -> str:
        """An attribute of the function as a value."""
        out = self.node("Constant")
        reference = self.nodes[-1].attribute.add()
        reference.name, reference.ref_attr_name = "value_int", attribute
        reference.type = onnx.AttributeProto.INT
        return out

    def moved(self, attribute: str, stride: int) -> str:
        """``attribute + step * stride``."""
        return self.node(
            "Add", self.node("Mul", "step", self.constant(stride)), self.given(attribute)
        )

    def squared(self, x: str, more: str, limit: str) -> str:
        """``(x * x + more) // 4096 % limit``."""
        found = self.node("Add", self.node("Mul", x, x), more)
        return self.node("Mod", self.node("Div", found, self.constant(4096)), limit)
