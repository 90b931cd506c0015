"""A TFLite file as a Graph. An operator that is not known is named with its node, never skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file reads TFLite

from edgelearn.arrays import Array
from edgelearn.errors import GraphError
from edgelearn.export.tflite_arms import ARMS, Made, clipped
from edgelearn.export.tflite_arms_moves import MOVING_ARMS
from edgelearn.export.tflite_arms_spatial import SPATIAL_ARMS
from edgelearn.export.tflite_load import BROKEN, load_model
from edgelearn.export.tflite_parts import (
    TfliteModel,
    TfliteNode,
    bad_file,
    refused,
    unsupported,
)
from edgelearn.export.tflite_values import Values
from edgelearn.export.tflite_variables import VARIABLE_OPS, Variables
from edgelearn.ir.builder import Builder
from edgelearn.ir.graph import Graph
from edgelearn.ir.ops import Unary
from edgelearn.ir.store import Bundle
from edgelearn.ir.tensor import ITEMSIZE

READ = ARMS | MOVING_ARMS | SPATIAL_ARMS
KNOWN_OPS = READ.keys() | VARIABLE_OPS
PREFIX = "edgelearn."
INITIAL = "initial"


def read_graph(path: Path) -> Graph:
    """The Graph in the TFLite file at `path`; `read_bundle` says what is raised.

    The number of samples is the one that the file fixes. Quantised numbers are integers between
    nodes, and what a node reads of them are the numbers that they stand for.

    >>> import tempfile
    >>> from edgelearn.export.tflite_writer import to_bytes
    >>> b = Builder("rectify")
    >>> graph = b.graph([b.unary("relu", b.input("x", (1, 4)))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rectify.tflite")
    ...     _ = path.write_bytes(to_bytes(graph))
    ...     read_graph(path).nodes == graph.nodes
    True
    """
    (graph,) = read_bundle(path).graphs.values()
    return graph


def read_bundle(path: Path) -> Bundle:
    """What a TFLite file holds: one Graph by its phase, and what the file says of itself.

    Raises
    ------
    MissingFile
        If there is no such file.
    ModelFileError
        If it is too large, damaged, or no TFLite.
    UnsupportedOp
        If a node or an input cannot be read; the message names the node.
    """
    model = load_model(path)
    meta = _metadata(path, model)
    states = meta.pop("states", {})
    try:
        graph = _Reader(path, model, states).graph()
    except GraphError as error:
        got = error.got if error.where == "node" else f"{error.where}: {error.got}"
        raise bad_file(path, error.expected, got) from None
    return Bundle({meta.pop("phase", "infer"): graph}, meta)


def _metadata(path: Path, model: TfliteModel) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, content in model.metadata.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX)
            try:
                text = content.decode()
                found[key] = text if key in ("version", "phase") else json.loads(text)
            except (ValueError, RecursionError):
                raise bad_file(path, f"JSON in {name}", repr(content[:40])) from None
    states = found.get("states", {})
    if not isinstance(states, dict) or not all(isinstance(v, str) for v in states.values()):
        raise bad_file(path, "names by name in edgelearn.states", str(states)[:40])
    return found


class _Reader:
    def __init__(self, path: Path, model: TfliteModel, states: dict[str, str]) -> None:
        self.path, self.model, self.states = path, model, states
        self.main = model.subgraphs[0]
        self.b = Builder(self.main.name or path.stem)
        tensors = self.main.tensors
        self.v = Values(self.b, tensors)
        known = {i: t.value for i, t in enumerate(tensors) if t.value is not None}
        self.v.constants.update(known)
        self.variables = Variables(self.v, model.subgraphs)

    def graph(self) -> Graph:
        for node in self.main.nodes:
            self._require_known(node)
        inputs, outputs = self._ends()
        self.v.reserved.update(inputs.values(), outputs.values())
        first = self._first_values()
        for index, name in inputs.items():
            self._input(index, name, first.get(name))
        for node in self.main.nodes:
            self._node(node)
        after = {name: index for index, name in outputs.items()}
        for state, result in self.states.items():
            if result not in after or state not in first:
                raise refused(f"state {state!r} among inputs and outputs", "none")
            self.b.update(state, self.v.read(after[result]))
        self.variables.update()
        moving = set(self.states.values())
        return self.b.graph(
            [self._output(i, name) for i, name in outputs.items() if name not in moving]
        )

    def _ends(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names of inputs and outputs: those of the signature of the first subgraph, if it has one.

        Tensors may have any name, or share one.
        """
        ends: list[dict[int, str]] = []
        found = [s for s in self.model.signatures.values() if s[0] == 0]
        named = found[0][1:] if found else ({}, {})
        for indices, names in zip((self.main.inputs, self.main.outputs), named, strict=True):
            by_index = {index: name for name, index in names.items()}
            ends.append({i: by_index.get(i, self.main.tensors[i].name) for i in indices})
        return ends[0], ends[1]

    def _first_values(self) -> dict[str, Array]:
        if not self.states:
            return {}
        position, _, outputs = self.model.signatures.get(INITIAL, (0, {}, {}))
        if not 0 < position < len(self.model.subgraphs):
            raise refused("a signature with the first values of states", "none")
        tensors = self.model.subgraphs[position].tensors
        values = {n: tensors[i].value for n, i in outputs.items() if 0 <= i < len(tensors)}
        return {name: value for name, value in values.items() if value is not None}

    def _input(self, index: int, name: str, init: Array | None) -> None:
        tensor = self.main.tensors[index]
        if tensor.dtype not in ITEMSIZE:
            one_of = ", ".join(ITEMSIZE)
            raise unsupported(self.path, "input", tensor.name, f"one of {one_of}", tensor.dtype)
        if name in self.states and init is not None:
            self.v.held[index] = self.b.state(name, init, tensor.shape)
        else:
            self.v.held[index] = self.b.input(name, tensor.shape, tensor.dtype)  # type: ignore[arg-type]

    def _output(self, index: int, name: str) -> str:
        value = self.v.raw(index)
        made = any(node.output == value for node in reversed(self.b.nodes))
        free = name and name not in self.b.specs
        return self.b.rename(value, name) if made and free else value

    def _require_known(self, n: TfliteNode) -> None:
        if n.op not in KNOWN_OPS:
            one_of = "one of " + ", ".join(sorted(KNOWN_OPS))
            raise unsupported(self.path, n.op, n.name, one_of, "an op not known")

    def _node(self, n: TfliteNode) -> None:
        try:
            if n.op in VARIABLE_OPS:
                self.variables.take(n)
            else:
                self._arm(n)
        except GraphError as error:
            got = error.got if error.where == "node" else f"{error.where}: {error.got}"
            raise unsupported(self.path, n.op, n.name, error.expected, got) from None
        except (*BROKEN, ZeroDivisionError) as error:
            got = f"{type(error).__name__}: {error}"
            raise unsupported(self.path, n.op, n.name, "inputs and options that fit", got) from None

    def _arm(self, n: TfliteNode) -> None:
        made = READ[n.op](self.v, n)
        if made is not None:
            op, inputs = _activated(self.v, n, made) or made
            self.v.define(n.out, op, inputs)


def _activated(v: Values, n: TfliteNode, made: tuple[Any, list[str]]) -> Made:
    """What an operator makes, after the activation that is fused with it."""
    kind = 0
    if hasattr(n.options, "FusedActivationFunction"):
        kind = n.option("FusedActivationFunction")
    if not kind:
        return made
    x = v.step(n.out, made[0], *made[1])
    match kind:
        case schema.ActivationFunctionType.RELU:
            return Unary("relu"), [x]
        case schema.ActivationFunctionType.TANH:
            return Unary("tanh"), [x]
        case schema.ActivationFunctionType.RELU6:
            return clipped(v, n, x, 0.0, 6.0)
        case schema.ActivationFunctionType.RELU_N1_TO_1:
            return clipped(v, n, x, -1.0, 1.0)
        case _:
            raise refused("a known activation", f"number {kind}")
