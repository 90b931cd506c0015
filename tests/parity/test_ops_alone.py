"""Every op alone: interpreter = stock runtime = what the reader makes of the file."""

from __future__ import annotations

from typing import get_args

import numpy as np
import onnx  # noqa: TID251  the checker is an oracle of its own
import pytest
from op_cases import CASES

from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import OPSETS, to_bytes
from edgelearn.export.verify import TOLERANCES, error_between
from edgelearn.ir import run
from edgelearn.ir.ops import OPS, Binary, BinaryKind, Pool2d, Reduce, ReduceKind, Unary, UnaryKind
from edgelearn.ir.ops_spatial import PoolKind
from edgelearn.runtimes.onnx import run_onnx

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_batch = pytest.mark.parametrize("batch", [1, 5])


def test_every_op_has_a_case():
    assert {type(case.op).__name__ for case in CASES} == set(OPS)


@pytest.mark.parametrize(
    ("op", "kinds"),
    [(Binary, BinaryKind), (Unary, UnaryKind), (Reduce, ReduceKind), (Pool2d, PoolKind)],
)
def test_every_kind_has_a_case(op, kinds):
    assert {case.op.kind for case in CASES if isinstance(case.op, op)} == set(get_args(kinds))


@every_case
@every_batch
@pytest.mark.parametrize("opset", [OPSETS[0], 17, 18, OPSETS[-1]])
def test_runtime_agrees(case, batch, opset):
    graph, feeds = case.graph_and_feeds(batch)
    expected = run(graph, feeds).outputs["out"]
    content = to_bytes(graph, opset=opset)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    got = run_onnx(content, feeds)["out"]
    assert error_between(expected, got) <= TOLERANCES["onnx", "float32"]


@every_case
@every_batch
@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_reader_gives_the_same_graph_back(case, batch, opset, tmp_path):
    graph, feeds = case.graph_and_feeds(batch)
    path = tmp_path / "alone.onnx"
    path.write_bytes(to_bytes(graph, opset=opset))
    again = read_graph(path)
    assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs)
    assert [again.specs[n] for n in again.inputs] == [graph.specs[n] for n in graph.inputs]
    expected, got = run(graph, feeds).outputs["out"], run(again, feeds).outputs["out"]
    np.testing.assert_array_equal(got, expected, strict=True)


@every_case
def test_the_declared_shape_is_the_computed_one(case):
    graph, feeds = case.graph_and_feeds(5)
    assert graph.specs["out"].bind(5).accepts(run(graph, feeds).outputs["out"])


@every_case
def test_macs_are_counted_on_bound_specs(case):
    graph = case.graph_and_feeds(5)[0].bind(5)
    assert graph.macs(graph.nodes[0]) >= 0
