"""A Graph as a TFLite model, written with the runtime's own schema and without TensorFlow.

A TFLite input has no default value. So the first values of states are outputs of a signature of
their own, `INITIAL`; the signature `MAIN` takes state NAME as the input NAME and gives its next
value back as the output NAME.next. Feed the one to the other, and any stock runtime learns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flatbuffers  # noqa: TID251  this file writes TFLite
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file writes TFLite

from edgelearn.export.tflite_emit import emit
from edgelearn.export.tflite_emitter import Emitter, new_tensor
from edgelearn.export.tflite_forms import forms_of
from edgelearn.ir.graph import Graph
from edgelearn.passes.reorder import reorder

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
MAIN = "serving_default"
"""The name that converters give the one signature of a model, and tools look for."""
INITIAL = "initial"
ALIGNMENT_BYTES = 16
"""Of the data of constants: kernels read them where they lie, with vector instructions."""


class Names(NamedTuple):
    """Under which name `MAIN` gives back each output, and the next value of each state."""

    outputs: dict[str, str]
    states: dict[str, str]


def names_of(graph: Graph) -> Names:
    """What the signatures call the results of `graph`.

    >>> from edgelearn.ir import Builder
    >>> import numpy as np
    >>> b = Builder("sum")
    >>> w = b.state("w", np.zeros(2, np.float32))
    >>> b.update(w, b.binary("add", w, b.input("x", (2,)), name="y"))
    >>> names_of(b.graph(["y"])).states
    {'w': 'w.next'}
    """
    taken = set(graph.outputs)
    states = {}
    for state in graph.states:
        name = f"{state.input}.next"
        while name in taken:
            name += "_"
        taken.add(name)
        states[state.input] = name
    return Names({name: name for name in graph.outputs}, states)


def to_bytes(graph: Graph, *, batch: int = 1, metadata: Mapping[str, str] | None = None) -> bytes:
    """`graph` as the bytes of a TFLite file; the same graph gives the same bytes.

    Parameters
    ----------
    graph : Graph
    batch : int
        Samples of one run: shapes in the file are fixed.
    metadata : mapping of str to str, optional
        Written as metadata of the model, one buffer of UTF-8 a key. ``edgelearn.states`` is added
        if there are states: a JSON object that names the output for each state's input.

    Raises
    ------
    GraphError
        If `batch` is less than 1, or states swap their values with no node between.
    UnsupportedOp
        If an op has no form in TFLite.

    Examples
    --------
    >>> from edgelearn.ir import Builder
    >>> b = Builder("rectify")
    >>> graph = b.graph([b.unary("relu", b.input("x", (-1, 4)))])
    >>> to_bytes(graph)[4:8]
    b'TFL3'
    """
    found = dict(metadata or {})
    names = names_of(graph)
    if names.states:
        found["edgelearn.states"] = json.dumps(names.states)
    bound = reorder(graph, batch).bind(batch)
    e = Emitter(bound, forms_of(bound))
    main = _main(e, bound)
    model = schema.ModelT()
    model.version, model.description = SCHEMA_VERSION, "edgelearn"
    states = [state.input for state in bound.states]
    results = [*names.outputs.values(), *names.states.values()]
    model.subgraphs = [main]
    model.signatureDefs = [_signature(MAIN, 0, main, [*bound.inputs, *states], results)]
    if states:
        model.subgraphs.append(_initial(e, bound))
        model.signatureDefs.append(_signature(INITIAL, 1, model.subgraphs[1], [], states))
    model.metadata = [_entry(e, key, text) for key, text in sorted(found.items())]
    model.operatorCodes, model.buffers = e.codes, e.buffers
    builder = _AlignedBuilder(0)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _main(e: Emitter, graph: Graph) -> Any:
    """The first subgraph, which runtimes without signatures run: inputs and states, in order."""
    made = schema.SubGraphT()
    sources = (*graph.inputs, *(s.input for s in graph.states))
    made.inputs = [e.source(name) for name in sources]
    for node in graph.nodes:
        emit(e, node)
    made.outputs = []
    for name in (*graph.outputs, *(s.output for s in graph.states)):
        index = e.read(name)
        computed = any(index in operator.outputs for operator in e.operators)
        if not computed or index in made.outputs:  # a caller's own tensor, or one that left already
            e.begin(f"{name}.out")
            index = e.copied(index, e.shape(index))
        made.outputs.append(index)
    made.name, made.tensors, made.operators = graph.name, e.tensors, e.operators
    return made


def _initial(e: Emitter, graph: Graph) -> Any:
    """A subgraph without operators, whose outputs are the first values of states."""
    made = schema.SubGraphT()
    made.name, made.inputs, made.operators, made.tensors = INITIAL, [], [], []
    for state in graph.states:
        spec, buffer = graph.specs[state.input], e.buffer(state.init.tobytes())
        made.tensors.append(new_tensor(state.input, spec.shape, spec.dtype, buffer))
    made.outputs = list(range(len(made.tensors)))
    return made


def _signature(
    key: str, position: int, subgraph: Any, inputs: Sequence[str], outputs: Sequence[str]
) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = key, position
    made.inputs = [_named(*pair) for pair in zip(inputs, subgraph.inputs, strict=True)]
    made.outputs = [_named(*pair) for pair in zip(outputs, subgraph.outputs, strict=True)]
    return made


def _named(name: str, index: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name, index
    return made


def _entry(e: Emitter, key: str, text: str) -> Any:
    made = schema.MetadataT()
    made.name, made.buffer = key, e.buffer(text.encode())
    return made


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # it has no types
    """Puts vectors of bytes at multiples of `ALIGNMENT_BYTES`.

    The schema asks for it (``force_align``), and the C++ writer obeys; the one for Python ignores
    it. A file without would load, and be slow or fail where vector loads must be aligned.
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        if elemSize == 1:
            alignment = ALIGNMENT_BYTES
        return super().StartVector(elemSize, numElems, alignment)
