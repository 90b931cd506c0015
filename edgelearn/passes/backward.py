"""Reverse mode: the errors of values of a Graph under construction, the last node first.

The error of a value is the derivative of the loss by it. What is emitted is what a careful
backpropagation by hand does: nothing is computed that no source needs, and a parameter moves in
place as soon as no error asks for its old value any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from edgelearn.ir.builder import Builder
from edgelearn.ir.graph import Node
from edgelearn.ir.ops import AddConvOuter, AddOuter, Conv2d, ConvTranspose2d, MatMul
from edgelearn.passes._collect import Collected, Part
from edgelearn.passes._derive import carries, derive
from edgelearn.passes._shapes import fit, spread


class Backward:
    """Errors on their way back through nodes that a Builder holds already.

    Parameters
    ----------
    b : Builder
        With all nodes that the loss follows from; more may be added meanwhile.
    sources : collection of str
        Values whose errors are wanted: parameters, inputs. What depends on none of them is not
        visited.
    weight : function of a name, optional
        What takes the place of a value, a weight perhaps, in the error of what meets it in a
        product or a convolution: itself by default. If weights are replaced by fixed random
        values of their shape, this is feedback alignment.

    Examples
    --------
    >>> from edgelearn.ir import run
    >>> b = Builder("square")
    >>> x = b.input("x", (-1, 1))
    >>> y, back = b.binary("mul", x, x), Backward(b, [x])
    >>> back.send(y, b.scalar(1))
    >>> _ = back.walk(b.nodes)
    >>> graph = b.graph([back.error(x)])
    >>> run(graph, {"x": np.float32([[3]])}).outputs[graph.outputs[0]].tolist()
    [[6.0]]
    """

    def __init__(
        self,
        b: Builder,
        sources: Collection[str],
        weight: Callable[[str], str] = lambda name: name,
    ) -> None:
        self.b = b
        self.weight = weight
        self.makers = {node.output: node for node in b.nodes}
        self._reached = _reached(b.nodes, sources)
        self._collected = Collected(b)
        self._into: dict[str, str] = {}
        self._steps: dict[str, str] = {}
        self._rate = ""

    def walk(
        self, nodes: Sequence[Node], rate: str = "", into: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Visit `nodes`, which were emitted in this order, from the last to the first.

        The parameters that `into` names are descended on the way, ``into - rate * error``: their
        new values are returned, under the same keys. Others keep their error for `error`.
        """
        self._into, self._steps = dict(into or {}), {}
        self._rate = self.b.unary("neg", rate) if self._into else ""
        for node in reversed(list(nodes)):
            error = self._collected.take(node.output)
            if error is not None:
                derive(self, node, error)
        found, self._into = self._into, {}
        return found

    def error(self, value: str) -> str | None:
        """The error of a value whose readers were all visited; None if it has none."""
        error = self._collected.take(value)
        return None if error is None else spread(self.b, error, value)

    def wants(self, value: str) -> bool:
        """Whether `value` leads to a source."""
        return value in self._reached

    def send(self, value: str, error: str) -> None:
        """Add `error`, summed over axes along which `value` was repeated, to that of `value`."""
        if not self.wants(value):
            return
        error = fit(self.b, error, self.b.specs[value].shape)
        if value in self._into:
            self._into[value] = self.b.binary("add", self._into[value], self._step(error))
        else:
            self._collected.add(value, error)

    def send_part(self, value: str, part: Part) -> None:
        """Add to the error of a part of `value`."""
        if self.wants(value):
            self._collected.add_part(value, part)

    def whole(self, value: str, part: Part) -> str:
        """The error of `value` that has this one in a part of it, and 0 beside it."""
        return self._collected.joined(value, [part])

    def send_outer(self, value: str, x: str, d: str) -> None:
        """Send ``x.T @ d``; a parameter needs no buffer for it."""
        if value in self._into:
            self._into[value] = self.b.apply(AddOuter(), self._into[value], x, self._step(d))
        else:
            self.send(value, self.b.apply(MatMul(transpose_a=True), x, d))

    def send_conv_outer(self, value: str, op: Conv2d | ConvTranspose2d, x: str, d: str) -> None:
        """Send the error of the filters that met `x` and made what has error `d`."""
        outer = AddConvOuter(op.strides, op.pads, op.dilations, op.groups)
        if value in self._into:
            self._into[value] = self.b.apply(outer, self._into[value], x, self._step(d))
        else:
            zeros = np.zeros(self.b.specs[value].shape, np.float32)
            onto = self.b.constant(self.b.fresh("zeros"), zeros)
            self.send(value, self.b.apply(outer, onto, x, d))

    def _step(self, error: str) -> str:
        """``-rate * error``, made once."""
        if error not in self._steps:
            self._steps[error] = self.b.binary("mul", error, self._rate)
        return self._steps[error]


def _reached(nodes: Sequence[Node], sources: Collection[str]) -> frozenset[str]:
    """`sources` and every value whose derivative by one of them is not zero by its nature."""
    found = set(sources)
    for node in nodes:
        if any(name in found and carries(node.op, i) for i, name in enumerate(node.inputs)):
            found.add(node.output)
    return frozenset(found)
