"""ONNX as a target: the writer, judged by onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgelearn.export.onnx_writer import DEFAULT_OPSET, names_of, to_bytes
from edgelearn.export.target import Draft, Lane, Options, Target
from edgelearn.ir.graph import Graph
from edgelearn.runtimes import onnx as onnxruntime


def _draft(graph: Graph, metadata: Mapping[str, str], options: Options) -> Draft:
    opset = DEFAULT_OPSET if options.opset is None else options.opset
    return Draft(to_bytes(graph, metadata=metadata, opset=opset), *names_of(graph))


def _lanes(draft: Draft) -> Iterator[Lane]:
    session = onnxruntime.OnnxSession(draft.content)
    yield Lane("onnxruntime", onnxruntime.version(), session.run)


TARGET = Target("onnx", frozenset({"opset", "dense"}), _draft, _lanes)
