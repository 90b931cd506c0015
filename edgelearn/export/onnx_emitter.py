"""Collects the nodes and tensors of an ONNX model under names that are used once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import onnx  # noqa: TID251  this file makes ONNX nodes

from edgelearn.arrays import Array
from edgelearn.export.onnx_emit_quant import biases, dequantized, linear
from edgelearn.export.onnx_functions import DOMAIN, FUNCTIONS
from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.ops import Dequantize, Quantize
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.ir.tensor import BATCH

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
"""ONNX has images with the channels first."""
Make: TypeAlias = Callable[[list[str], str], object]
"""Adds the ONNX node of an element-wise operation, given its inputs and its output."""


class Emitter:
    """The nodes and initializers of one model, as they are made.

    Parameters
    ----------
    graph : Graph
    opset : int
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        self.specs = graph.specs
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.functions: dict[str, onnx.FunctionProto] = {}
        self.constants = graph.constants
        self._renamed: dict[str, str] = {}
        self._taken = set(graph.specs)
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._made: dict[str, str] = {}
        self._biases = biases(graph)
        self._sums = {total for total, _ in self._biases.values()}
        self._dequantized = dequantized(graph)
        self._moved: dict[tuple[str, str], str] = {}
        self._images: dict[str, str] = {}
        self._deferred: dict[str, tuple[Node, Make]] = {}
        self._channels_first: set[str] = set()

    def read(self, name: str) -> str:
        """What a value of the Graph is called here; a constant is stored when it is first read.

        So is what an integer constant means.
        """
        if name in self._renamed:
            return self._renamed[name]
        self._renamed[name] = name
        if name in self.constants:
            self.initializer(name, self.constants[name])
        elif name in self._dequantized:
            source, params = self._dequantized[name]
            self.linear("Dequantize", params, self.specs[source].dtype, [self.read(source)], name)
        elif name in self._channels_first:
            self.node("Transpose", [self.image(name)], name, perm=TO_NHWC)
        elif name in self._deferred:
            node, make = self._deferred[name]
            make([self.read(i) for i in node.inputs], name)
        return name

    def transposed(self, name: str, perm: tuple[int, ...], suffix: str) -> str:
        """A value of the Graph with its axes in another order; a constant is stored so."""
        if name in self.constants:
            return self.shared(f"{name}/{suffix}", self.constants[name].transpose(perm))
        if name in self._dequantized:
            return self._dequantized_so(name, perm, suffix)
        return self.node("Transpose", [self.read(name)], self.fresh(f"{name}/{suffix}"), perm=perm)

    def image(self, name: str) -> str:
        """Images with the channels first, from wherever they are made so."""
        if name not in self._images:
            if name in self._deferred:
                node, make = self._deferred[name]
                self._images[name] = self.fresh(f"{name}/nchw")
                make([self._beside_images(i) for i in node.inputs], self._images[name])
            else:
                self._images[name] = self.transposed(name, TO_NCHW, "nchw")
        return self._images[name]

    def _beside_images(self, name: str) -> str:
        rank = len(self.specs[name].shape)
        if rank == 1:
            return self.shared(f"{name}/nchw", self.constants[name].reshape(-1, 1, 1))
        return self.image(name) if rank else self.read(name)

    def made_image(self, name: str, image: str) -> None:
        """Say that `image` is `name` with the channels first; another form is made if asked for."""
        self._images[name] = image
        self._channels_first.add(name)

    def elementwise(self, node: Node, make: Make) -> None:
        """Add an element-wise node: of images later, in the order of axes that is asked for."""
        first = self._channels_first.intersection(node.inputs)
        rank = len(self.specs[node.output].shape)
        either = isinstance(node.op, Quantize | Dequantize) and node.op.params.axis is None
        if rank == 4 and (first or either) and all(map(self._goes_beside, node.inputs)):
            self._deferred[node.output] = node, make
            self._channels_first.update([node.output] if first else [])
        else:
            make([self.read(name) for name in node.inputs], node.output)

    def _goes_beside(self, name: str) -> bool:
        """Whether `name` can meet images with the channels first."""
        rank = len(self.specs[name].shape)
        return rank in (0, 4) or (rank == 1 and name in self.constants)

    def _dequantized_so(self, name: str, perm: tuple[int, ...], suffix: str) -> str:
        """What an integer constant means, stored with its axes in another order."""
        if (name, suffix) not in self._moved:
            source, params = self._dequantized[name]
            integers = self.constants[source].transpose(perm)
            axis = None if params.axis is None else perm.index(params.axis)
            stored, out = (
                self.shared(f"{source}/{suffix}", integers),
                self.fresh(f"{name}/{suffix}"),
            )
            self.linear(
                "Dequantize", replace(params, axis=axis), integers.dtype.name, [stored], out
            )
            self._moved[name, suffix] = out
        return self._moved[name, suffix]

    def linear(
        self, kind: str, params: QuantParams, dtype: str, inputs: list[str], output: str
    ) -> None:
        """Add a QuantizeLinear or DequantizeLinear, to or from integers of `dtype`."""
        scale, zero_point, attributes = linear(params, dtype)
        inputs = [*inputs, self.shared("scale", scale)]
        if zero_point is not None:
            inputs.append(self.shared("zero_point", zero_point))
        self.node(f"{kind}Linear", inputs, output, **attributes)

    def bias(self, product: str) -> tuple[list[str], str]:
        """The int32 bias that belongs into the node of `product`, if any, and what that makes."""
        if product not in self._biases:
            return [], product
        total, bias = self._biases[product]
        return [self.read(bias)], total

    def is_made(self, name: str) -> bool:
        """Whether a node before, or one to come, makes `name` without one of its own."""
        return name in self._sums or name in self._dequantized

    def fresh(self, stem: str) -> str:
        """A name that nothing in the model has yet."""
        name, number = stem, 2
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node named after its output; returns the output."""
        made = onnx.helper.make_node(op_type, inputs, [output], name=output, **attributes)
        self.nodes.append(made)
        return output

    def call(self, name: str, inputs: list[str], output: str, **attributes: int) -> str:
        """Add a node that is one of `FUNCTIONS`."""
        self.functions[name] = FUNCTIONS[name](self.opset)
        return self.node(name, inputs, output, domain=DOMAIN, **attributes)

    def initializer(self, name: str, value: Array) -> None:
        """Add `value` under `name`."""
        self.initializers.append(onnx.numpy_helper.from_array(value, name))

    def shared(self, stem: str, value: Array) -> str:
        """The name of an initializer that holds `value`; equal ones are stored once."""
        key = (value.dtype.name, value.shape, value.tobytes())
        if key not in self._shared:
            self._shared[key] = self.fresh(stem)
            self.initializer(self._shared[key], value)
        return self._shared[key]

    def once(self, key: str, make: Callable[[], str]) -> str:
        """What `make` adds under `key`, if nothing was added under it yet."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def ints(self, stem: str, *values: int) -> str:
        """`shared` for a vector of int64, such as a shape or axes."""
        return self.shared(stem, np.array(values, np.int64))

    def length(self, name: str, axis: Array, stem: str) -> str:
        """The length of one axis: a scalar if `axis` is one, a vector of one if it has one."""
        shape = self.node("Shape", [name], self.fresh(f"{stem}/shape"))
        index = self.shared("axis", axis)
        return self.node("Gather", [shape, index], self.fresh(f"{stem}/length"), axis=0)

    def broadcast(self, state: str, source: str) -> None:
        """Repeat the first value of `state`, one sample, for as many samples as `source` has.

        A caller's own value, which has them already, passes unchanged.
        """
        axis = np.array([self.specs[source].shape.index(BATCH)], np.int64)
        batch = self.length(source, axis, state)
        dims = self.specs[state].shape
        parts = [batch if d == BATCH else self.ints("length", d) for d in dims]
        shape = self.node("Concat", parts, self.fresh(f"{state}/target"), axis=0)
        self._renamed[state] = self.node("Expand", [state, shape], self.fresh(f"{state}/samples"))
