"""What a model file holds, in numbers and names."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelearn.errors import MissingRuntime, OptionError
from edgelearn.files import require_file
from edgelearn.ir import store
from edgelearn.ir.arena import plan_arena
from edgelearn.ir.graph import Graph
from edgelearn.ir.ops import SparseMatMul
from edgelearn.ir.store import Bundle
from edgelearn.passes.sparsify import sparsify

KEYS = ("classes", "outputs", "recipe", "card", "history")
"""Metadata that is shown as it is."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """One phase of a model; MACs and arena are for one sample, or for the batch that is fixed.

    Attributes
    ----------
    phase, name : str
    inputs, outputs, states : dict of str to str
        Dtype and shape by name.
    ops : dict of str to int
        How often each op occurs, the most frequent first.
    parameters : int
        Numbers that are stored: constants, and states that are not one a sample.
    weights_bytes : int
        Their bytes, with those of masks and of the places of sparse matrices.
    macs, arena_bytes : int
    sparsity : dict of str to float
        The share of zeros of each matrix of weights that has any.
    """

    phase: str
    name: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    states: dict[str, str]
    ops: dict[str, int]
    parameters: int
    weights_bytes: int
    macs: int
    arena_bytes: int
    sparsity: dict[str, float]


def read_model(path: Path) -> Bundle:
    """The model in a ``.safetensors`` file of ours, or in an ``.onnx`` or ``.tflite`` file.

    Raises
    ------
    MissingFile, OptionError, ModelFileError, UnsupportedOp
        As the readers of the formats say.
    MissingRuntime
        If what reads ``.tflite`` files is not installed.
    """
    require_file(path, "model", "check the name, or run 'edgelearn train' first")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return store.read(path)
    if suffix == ".onnx":
        from edgelearn.export.onnx_reader import read_bundle  # noqa: PLC0415  loads onnx

        return read_bundle(path)
    if suffix == ".tflite":
        return _read_tflite(path)
    raise OptionError(
        f"model {str(path)!r}",
        expected="a .safetensors file of edgelearn, or an .onnx or .tflite file",
        got=f"the suffix {path.suffix!r}",
        fix="name a model file of one of these formats",
    )


def _read_tflite(path: Path) -> Bundle:
    try:
        from edgelearn.export.tflite_reader import read_bundle  # noqa: PLC0415  loads the schema
    except ModuleNotFoundError as error:
        raise MissingRuntime(
            f"model {str(path)!r}",
            expected="the schema of TFLite files",
            got=str(error),
            fix=f"pip install {error.name}",
        ) from None
    return read_bundle(path)


def facts(phase: str, graph: Graph) -> GraphFacts:
    """What `graph` needs and holds.

    >>> from edgelearn.ir import Builder
    >>> import numpy as np
    >>> b = Builder("linear")
    >>> y = b.matmul(b.input("x", (-1, 3)), b.constant("w", np.ones((3, 2), np.float32)))
    >>> found = facts("infer", b.graph([y]))
    >>> found.parameters, found.macs, found.inputs
    (6, 6, {'x': 'float32[batch, 3]'})
    """
    bound = graph.bind(1)
    states = [state.input for state in graph.states]
    kept = [s.init for s in graph.states if not graph.specs[s.input].has_batch]
    weights = [*graph.constants.values(), *kept]
    numbers = [a for a in weights if a.dtype == np.float32]
    return GraphFacts(
        phase=phase,
        name=graph.name,
        inputs={name: str(graph.specs[name]) for name in graph.inputs},
        outputs={name: str(graph.specs[name]) for name in graph.outputs},
        states={name: str(graph.specs[name]) for name in states},
        ops=dict(Counter(type(node.op).__name__ for node in graph.nodes).most_common()),
        parameters=sum(a.size for a in numbers),
        weights_bytes=sum(a.nbytes for a in weights),
        macs=sum(bound.macs(node) for node in bound.nodes),
        arena_bytes=plan_arena(bound).size_bytes,
        sparsity=_sparsity(graph),
    )


def _sparsity(graph: Graph) -> dict[str, float]:
    arrays = {**graph.constants, **{state.input: state.init for state in graph.states}}
    zeros = {
        name: 1 - float(np.count_nonzero(value)) / value.size
        for name, value in arrays.items()
        if value.ndim >= 2 and value.size and value.dtype == np.float32
    }
    for node in graph.nodes:
        if isinstance(node.op, SparseMatMul) and node.inputs[1] in arrays:
            stored = np.count_nonzero(arrays[node.inputs[1]])
            zeros[node.inputs[1]] = 1 - float(stored) / (node.op.fan_in * node.op.units)
    return {name: share for name, share in zeros.items() if share > 0}


def describe(path: Path) -> dict[str, Any]:
    """What the model file at `path` holds, as JSON would say it; see `read_model` for errors.

    Matrices of our own files are counted as they are exported: pruned ones without their zeros.
    """
    bundle = read_model(path)
    ours = path.suffix.lower() == ".safetensors"
    graphs = {phase: sparsify(g) if ours else g for phase, g in bundle.graphs.items()}
    return {
        "file": str(path),
        "format": path.suffix.lower()[1:],
        "bytes": path.stat().st_size,
        "phases": [asdict(facts(phase, graph)) for phase, graph in graphs.items()],
        **{key: bundle.meta.get(key) for key in KEYS},
    }
