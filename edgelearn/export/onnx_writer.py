"""A Graph as an ONNX model.

A state becomes a graph input that is also an initializer of the same name: the first value,
which a caller may override (ONNX calls it a default value). Its next value is a graph output.
So a training step runs in any stock runtime: weights in, weights out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx  # noqa: TID251  this file writes ONNX models

from edgelearn import __version__
from edgelearn.errors import OptionError
from edgelearn.export.onnx_emit import emit
from edgelearn.export.onnx_emitter import Emitter
from edgelearn.export.onnx_forms import as_runtimes_want
from edgelearn.export.onnx_functions import DOMAIN, FIRST_IR_VERSION, VERSION
from edgelearn.ir.graph import Graph
from edgelearn.ir.tensor import BATCH, TensorSpec

OPSETS = range(13, 22)
"""13 is the first in which the axes of ReduceSum are an input; 21 is the last that the oldest
onnxruntime we allow (1.20) runs."""
DEFAULT_OPSET = 17


def to_bytes(
    graph: Graph, *, metadata: Mapping[str, str] | None = None, opset: int = DEFAULT_OPSET
) -> bytes:
    """`graph` as the bytes of an ONNX file; the same graph gives the same bytes.

    Parameters
    ----------
    graph : Graph
        An open batch becomes the symbolic dimension ``batch``.
    metadata : mapping of str to str, optional
        Written as ``metadata_props``. ``edgelearn.states`` is added if there are states: a JSON
        object that names the output for each state's input.
    opset : int
        One of `OPSETS`.

    Raises
    ------
    OptionError
        If that opset is not written.
    UnsupportedOp
        If an op has no form in ONNX.

    Examples
    --------
    >>> from edgelearn.ir import Builder
    >>> b = Builder("rectify")
    >>> graph = b.graph([b.unary("relu", b.input("x", (-1, 4)))])
    >>> len(to_bytes(graph)) < 200
    True
    """
    model = to_model(graph, metadata=metadata, opset=opset)
    return bytes(model.SerializeToString(deterministic=True))


def to_model(
    graph: Graph, *, metadata: Mapping[str, str] | None = None, opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """`graph` as an ONNX model in memory; see `to_bytes`."""
    _require_opset(opset)
    graph = as_runtimes_want(graph)
    e = Emitter(graph, opset)
    _emit_states(e, graph)
    for node in graph.nodes:
        emit(e, node)
    names = names_of(graph)
    results = [*names.outputs.items()]
    results += [(s.output, names.states[s.input]) for s in graph.states]
    for old, new in results:
        name = e.read(old)
        if old != new:
            e.node("Identity", [name], new)
    sources = (*graph.inputs, *(s.input for s in graph.states))
    body = onnx.helper.make_graph(
        e.nodes,
        graph.name,
        [_info(name, graph.specs[name]) for name in sources],
        [_info(new, graph.specs[old]) for old, new in results],
        e.initializers,
    )
    found = dict(metadata or {})
    if names.states:
        found["edgelearn.states"] = json.dumps(names.states)
    return _model(body, list(e.functions.values()), opset, found)


def _require_opset(opset: int) -> None:
    if opset not in OPSETS:
        raise OptionError(
            f"opset {opset}",
            expected=f"{OPSETS[0]} to {OPSETS[-1]}",
            got=str(opset),
            fix=f"leave --opset out to get {DEFAULT_OPSET}",
        )


class Names(NamedTuple):
    """Under which name a model gives back each output, and the next value of each state."""

    outputs: dict[str, str]
    states: dict[str, str]


def names_of(graph: Graph) -> Names:
    """What the model calls its outputs: `to_model` and whoever runs the model agree on it.

    A value that no node makes keeps its own name for the way in; on the way out it is copied
    to ``NAME.out``. The next value of a state keeps its name if it is made for that alone, and
    is copied to ``STATE.next`` otherwise.

    >>> from edgelearn.ir import Builder
    >>> b = Builder("echo")
    >>> x = b.input("x", (-1, 4))
    >>> names_of(b.graph([x, b.unary("relu", x)])).outputs
    {'x': 'x.out', 'relu': 'relu'}
    """
    made = {node.output for node in graph.nodes}
    taken = set(graph.specs)
    outputs: dict[str, str] = {}
    for name in graph.outputs:
        outputs[name] = name if name in made else _free(f"{name}.out", taken)
    states: dict[str, str] = {}
    for state in graph.states:
        alone = state.output in made and state.output not in {*outputs, *states.values()}
        states[state.input] = state.output if alone else _free(f"{state.input}.next", taken)
    return Names(outputs, states)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _emit_states(e: Emitter, graph: Graph) -> None:
    sources = [name for name in graph.inputs if graph.specs[name].has_batch]
    for state in graph.states:
        e.initializer(state.input, state.init)
        if sources and graph.specs[state.input].has_batch:
            e.broadcast(state.input, sources[0])


def _info(name: str, spec: TensorSpec) -> onnx.ValueInfoProto:
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    dims: Sequence[int | str] = ["batch" if d == BATCH else d for d in spec.shape]
    return onnx.helper.make_tensor_value_info(name, dtype, dims)


def _model(
    body: onnx.GraphProto,
    functions: list[onnx.FunctionProto],
    opset: int,
    metadata: dict[str, str],
) -> onnx.ModelProto:
    imports = [onnx.helper.make_opsetid("", opset)]
    # The oldest file version that knows this opset (8 for opset 17), so that old runtimes load
    # the file too. All of them are >= 4, from which an initializer need not be an input, and one
    # that is an input is a default value.
    ir_version = onnx.helper.find_min_ir_version_for(imports)
    if functions:
        ir_version = max(ir_version, FIRST_IR_VERSION)
        imports.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    model = onnx.helper.make_model(
        body,
        functions=functions,
        opset_imports=imports,
        ir_version=ir_version,
        producer_name="edgelearn",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    return model
