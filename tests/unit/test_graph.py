"""Every rule of Graph, Builder, TensorSpec and the ops holds, and each breach is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgelearn.errors import GraphError
from edgelearn.ir import BATCH, Builder, Graph, Node, State, TensorSpec, run
from edgelearn.ir.graph import infer_spec
from edgelearn.ir.ops import (
    OPS,
    AddConvOuter,
    AddOuter,
    ApplyMask,
    BatchSize,
    Binary,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dequantize,
    Gather,
    Keep,
    MatMul,
    OneHot,
    Pool2d,
    Quantize,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    SparseAddOuter,
    SparseMatMul,
    ToInt,
    Transpose,
    Unary,
)
from edgelearn.ir.ops_quant import QuantParams

F = TensorSpec
I64 = "int64"
ONE = QuantParams((1.0,), (0,))
TWO = QuantParams((1.0, 2.0), (0, 0), 1)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def parts():
    """Two inputs, a constant, a state and two nodes: a small graph that is right."""
    return {
        "name": "g",
        "inputs": ("x",),
        "outputs": ("y",),
        "nodes": (Node(MatMul(), ("x", "w"), "z"), Node(Binary("add"), ("z", "h"), "y")),
        "specs": {
            "x": F((BATCH, 2)),
            "w": F((2, 3)),
            "h": F((BATCH, 3)),
            "z": F((BATCH, 3)),
            "y": F((BATCH, 3)),
        },
        "constants": {"w": zeros(2, 3)},
        "states": (State("h", "y", zeros(1, 3)),),
    }


def specs(**changes):
    return {**parts()["specs"], **changes}


def test_the_graph_itself_is_accepted():
    assert Graph(**parts()).has_batch


X_TWICE = ("x", "x")
BREACHES = {
    "input without spec": {"inputs": ("x", "q")},
    "input named twice": {"inputs": X_TWICE},
    "input that is a constant": {"inputs": ("x", "w")},
    "input that is a state": {"inputs": ("x", "h")},
    "constant that is a state": {"states": (State("w", "w", zeros(2, 3)),)},
    "output that is not made": {"outputs": ("q",)},
    "spec of no value": {"specs": specs(q=F((3,)))},
    "constant of another shape": {"constants": {"w": zeros(3, 2)}},
    "constant of another dtype": {"constants": {"w": np.zeros((2, 3))}},
    "constant missing": {"constants": {}},
    "nodes in the wrong order": {"nodes": parts()["nodes"][::-1]},
    "node that reads itself": {"nodes": (Node(Unary("neg"), ("z",), "z"),)},
    "node that makes an input": {"nodes": (Node(Unary("neg"), ("x",), "x"),)},
    "value made twice": {"nodes": (*parts()["nodes"], parts()["nodes"][0])},
    "node that reads an unknown value": {"nodes": (Node(MatMul(), ("x", "q"), "z"),)},
    "node with one input too few": {"nodes": (Node(MatMul(), ("x",), "z"),)},
    "node with one input too many": {"nodes": (Node(Unary("neg"), ("x", "w"), "z"),)},
    "output spec that does not follow": {"specs": specs(z=F((BATCH, 4)))},
    "output spec of another dtype": {"specs": specs(z=F((BATCH, 3), "int32"))},
    "open batch where the rule says 1": {"specs": specs(z=F((1, 3)))},
    "node without a spec": {"specs": {k: v for k, v in specs().items() if k != "z"}},
    "inner dimensions that differ": {"specs": specs(x=F((BATCH, 5)))},
    "state that becomes nothing": {"states": (State("h", "q", zeros(1, 3)),)},
    "state of another shape after": {"states": (State("h", "x", zeros(1, 3)),)},
    "state with a long first value": {"states": (State("h", "y", zeros(2, 3)),)},
    "state with a flat first value": {"states": (State("h", "y", zeros(3)),)},
    "state with float64": {"states": (State("h", "y", np.zeros((1, 3))),)},
    "state twice": {"states": (State("h", "y", zeros(1, 3)),) * 2},
    "state missing": {"states": ()},
}


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_is_refused(breach):
    with pytest.raises(GraphError) as caught:
        Graph(**parts() | BREACHES[breach])
    assert "\n" not in str(caught.value)


def test_what_may_be_handed_through():
    """An input, a constant and a state may be outputs; one value may be named by several."""
    graph = Graph(**parts() | {"outputs": ("x", "w", "h", "y", "y")})
    assert graph.outputs == ("x", "w", "h", "y", "y")


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((-2,), "float32"),
        ((1.0,), "float32"),
        ((True,), "float32"),
        (("3",), "float32"),
        ((None,), "float32"),
        ((np.int64(3),), "float32"),
        ([3], "float32"),
        ((3,), "float64"),
        ((3,), "bool"),
        ((3,), ""),
        ((3,), None),
    ],
)
def test_tensor_specs_that_are_none(shape, dtype):
    with pytest.raises(GraphError):
        TensorSpec(shape, dtype)


def test_tensor_spec_sizes():
    spec = TensorSpec((BATCH, 3), "int8")
    assert (spec.bind(4).size, spec.bind(4).nbytes) == (12, 12)
    assert TensorSpec((2, 3), "int64").nbytes == 48
    assert TensorSpec(()).size == 1
    assert TensorSpec((0, 3)).nbytes == 0
    assert str(spec) == "int8[batch, 3]"
    for unknown in ("size", "nbytes"):
        with pytest.raises(GraphError, match="bind"):
            getattr(spec, unknown)


def test_tensor_spec_accepts():
    spec = TensorSpec((BATCH, 3))
    assert spec.accepts(zeros(0, 3))
    assert spec.accepts(zeros(5, 3))
    assert not spec.accepts(zeros(3))
    assert not spec.accepts(zeros(1, 4))
    assert not spec.accepts(zeros(1, 1, 3))
    assert not spec.accepts(np.zeros((1, 3)))


A, B, C = F((2, 3)), F((3, 4)), F((2, 4))
IMAGE, FILTERS = F((BATCH, 8, 8, 4)), F((3, 3, 4, 6))
LABELS, DEPTHWISE = F((BATCH,), I64), F((3, 3, 1, 4))
STARTS, PLACES = F((5,), "int32"), F((5,), "uint8")
"""Of a sparse matrix of 4 units and 5 weights."""
REFUSED = [
    (MatMul(), A, A),
    (MatMul(), F((3,)), B),
    (MatMul(), F((1, 2, 3)), B),
    (MatMul(transpose_b=True), A, B),
    (MatMul(), A, F((3, 4), "int32")),
    (AddOuter(), F((3, 4)), A, F((3, 4))),
    (AddOuter(), F((4, 3)), A, C),
    (AddOuter(), F((3,)), A, C),
    (AddOuter(), F((3, 4)), F((BATCH, 3)), C),
    (Keep(1, 0), LABELS, F((), "int64")),
    (Keep(1, 0), A, F((), "int32")),
    (Keep(1, 0), A, F((1,), "int64")),
    (SparseMatMul(3, 4), F((BATCH, 2)), F((5,)), STARTS, PLACES),
    (SparseMatMul(3, 4), F((BATCH, 3)), F((6,)), STARTS, PLACES),
    (SparseMatMul(3, 4), F((BATCH, 3)), F((5,)), F((4,), "int32"), PLACES),
    (SparseMatMul(3, 4), F((BATCH, 3)), F((5,)), STARTS, F((5,), "int32")),
    (SparseAddOuter(3, 4), F((5,)), F((7, 3)), F((6, 4)), STARTS, PLACES),
    (SparseAddOuter(3, 4), F((5,)), F((7, 3)), F((7, 3)), STARTS, PLACES),
    (ApplyMask(), A, A),
    (ApplyMask(), A, F((3, 1), "uint8")),
    (ApplyMask(), LABELS, F((BATCH,), "uint8")),
    (Binary("add"), A, B),
    (Binary("add"), A, F((2,))),
    (Binary("add"), F((BATCH, 3)), F((2, 3))),
    (Binary("add"), LABELS, LABELS),
    (Binary("add"), F((BATCH, 3)), F((3, BATCH))),
    (Unary("tanh"), LABELS),
    (Softmax(), F(())),
    (Softmax(), LABELS),
    (Reduce("sum", ()), A),
    (Reduce("sum", (2,)), A),
    (Reduce("sum", (-3,)), A),
    (Reduce("sum", (0, 0)), A),
    (Reduce("sum", (1, -1)), A),
    (Reduce("mean", (0,)), LABELS),
    (Reshape((5,)), A),
    (Reshape((-1, -1)), A),
    (Reshape((-1,)), F((BATCH, BATCH))),
    (Reshape((4, -1)), A),
    (Reshape((6,)), F((BATCH, 6))),
    (Reshape((-1, 5)), F((BATCH, 6))),
    (OneHot(3), F((BATCH,))),
    (OneHot(3), F((BATCH,), "int8")),
    (ToInt(), LABELS),
    (Gather(), A, F((BATCH,))),
    (Gather(), F(()), LABELS),
    (BatchSize(), F(())),
    (AddConvOuter(), FILTERS, IMAGE, F((BATCH, 8, 8, 6))),
    (AddConvOuter((2, 2)), FILTERS, IMAGE, F((BATCH, 3, 3, 5))),
    (Conv2d(), F((BATCH, 8, 8)), FILTERS),
    (Conv2d(), IMAGE, F((3, 3, 5, 6))),
    (Conv2d(), IMAGE, F((9, 9, 4, 6))),
    (Conv2d(groups=3), IMAGE, FILTERS),
    (Conv2d(dilations=(4, 4)), IMAGE, FILTERS),
    (ConvTranspose2d((8, 8)), F((BATCH, 5, 6, 6)), FILTERS),
    (ConvTranspose2d((8, 8)), F((BATCH, 6, 6, 5)), FILTERS),
    (ConvTranspose2d((2, 8)), F((BATCH, 1, 6, 6)), FILTERS),
    (ConvTranspose2d((8, 8), groups=4), F((BATCH, 6, 6, 6)), FILTERS),
    (ConvTranspose2d((8, 8)), F((36, 6)), FILTERS),
    (Pool2d("max", (9, 9)), IMAGE),
    (Pool2d("max", (2, 2)), F((8, 8))),
    (Transpose((0,)), A),
    (Transpose((0, 0)), A),
    (Transpose((1, 2)), A),
    (Concat(0), A, B),
    (Concat(2), A, A),
    (Concat(0), F((BATCH, 3)), F((BATCH, 3))),
    (Concat(1), A, F((2, 3), "int32")),
    (Concat(0), F(()), F(())),
    (Slice(0, 1, 1), A),
    (Slice(0, 0, 3), A),
    (Slice(0, -1, 1), A),
    (Slice(2, 0, 1), A),
    (Slice(0, 0, 1), F((BATCH, 3))),
    (Pool2d("avg", (2, 2)), F((BATCH, 8, 8, 4), "int8")),
    (Pool2d("max", (2, 2)), F((BATCH, 8, 8, 4), "int32")),
    (Quantize(ONE), F((2, 3), "int8")),
    (Quantize(QuantParams((1.0,), (128,))), A),
    (Quantize(QuantParams((1.0,), (-1,)), "uint8"), A),
    (Quantize(TWO), F((BATCH, 3))),
    (Quantize(TWO), F((BATCH,))),
    (Dequantize(ONE), A),
    (Dequantize(ONE), F((2, 3), "int64")),
    (Dequantize(QuantParams((1.0,), (256,))), F((2, 3), "uint8")),
    (Dequantize(QuantParams((1.0,), (1,))), F((2, 3), "int32")),
    (Dequantize(TWO), F((2, 3), "int8")),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: f"{c[0]} {' '.join(map(str, c[1:]))}")
def test_ops_refuse_inputs_that_do_not_fit(case):
    op, *inputs = case
    with pytest.raises(GraphError, match=type(op).__name__):
        infer_spec(op, inputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Binary("pow"),
        lambda: Unary("sin"),
        lambda: Unary(""),
        lambda: Reduce("median", (0,)),
        lambda: Pool2d("sum", (2, 2)),
        lambda: Pool2d("max", (0, 2)),
        lambda: Pool2d("max", (2, 2), strides=(0, 1)),
        lambda: Pool2d("max", (2, 2), pads=(2, 0, 0, 0)),
        lambda: Conv2d(strides=(0, 1)),
        lambda: Conv2d(pads=(-1, 0, 0, 0)),
        lambda: Conv2d(dilations=(0, 1)),
        lambda: Conv2d(groups=0),
        lambda: ConvTranspose2d((0, 8)),
        lambda: ConvTranspose2d((8, 8), strides=(0, 1)),
        lambda: ConvTranspose2d((8, 8), pads=(0, -1, 0, 0)),
        lambda: Concat(0, arity=0),
        lambda: Quantize(ONE, "int32"),
        lambda: QuantParams((0.0,), (0,)),
        lambda: QuantParams((-1.0,), (0,)),
        lambda: QuantParams((np.inf,), (0,)),
        lambda: QuantParams((np.nan,), (0,)),
        lambda: QuantParams((1.0, 1.0), (0, 0)),
        lambda: QuantParams((1.0, 1.0), (0,), 0),
        lambda: QuantParams((), (), 0),
        lambda: QuantParams((1.0, 1.0), (0, 0), -1),
    ],
)
def test_settings_of_ops_that_are_none(make):
    with pytest.raises(GraphError):
        make()


ACCEPTED = [
    (MatMul(transpose_a=True), F((BATCH, 2)), F((BATCH, 3)), F((2, 3)), None),
    (MatMul(transpose_b=True), F((5, 3)), F((4, 3)), F((5, 4)), 60),
    (MatMul(), F((5, 3)), F((3, 4)), F((5, 4)), 60),
    (AddOuter(), F((3, 4)), F((7, 3)), F((7, 4)), F((3, 4)), 84),
    (ApplyMask(), F((5, 3)), F((5, 3), "uint8"), F((5, 3)), 0),
    (Keep(1, 0), F((5, 3)), F((), "int64"), F((5, 3)), 0),
    (SparseMatMul(3, 4), F((7, 3)), F((5,)), STARTS, PLACES, F((7, 4)), 35),
    (SparseAddOuter(3, 4), F((5,)), F((7, 3)), F((7, 4)), STARTS, PLACES, F((5,)), 35),
    (Binary("add"), F((5, 1)), F((3,)), F((5, 3)), 0),
    (Binary("add"), F((BATCH, 3)), F(()), F((BATCH, 3)), 0),
    (Reduce("sum", (-1,), keepdims=True), F((5, 3)), F((5, 1)), 0),
    (Reduce("max", (0, 1)), F((5, 3)), F(()), 0),
    (Reshape((-1, 6)), F((BATCH, 2, 3)), F((BATCH, 6)), None),
    (Reshape((-1, 2)), F((2, 3)), F((3, 2)), 0),
    (OneHot(7), LABELS, F((BATCH, 7)), None),
    (Conv2d(strides=(2, 2), pads=(1, 1, 1, 1)), F((1, 8, 8, 4)), FILTERS, F((1, 4, 4, 6)), 3456),
    (AddConvOuter((2, 2)), FILTERS, F((2, 8, 8, 4)), F((2, 3, 3, 6)), FILTERS, 3888),
    (ConvTranspose2d((8, 8), (2, 2)), F((2, 3, 3, 6)), FILTERS, F((2, 8, 8, 4)), 3888),
    (Conv2d(groups=4), F((1, 3, 3, 4)), DEPTHWISE, F((1, 1, 1, 4)), 36),
    (
        AddConvOuter(groups=4),
        F((3, 3, 1, 4)),
        F((1, 3, 3, 4)),
        F((1, 1, 1, 4)),
        F((3, 3, 1, 4)),
        36,
    ),
    (ToInt(), F((BATCH, 3)), F((BATCH, 3), I64), None),
    (Pool2d("avg", (2, 2), strides=(2, 2)), F((1, 8, 8, 4)), F((1, 4, 4, 4)), 0),
    (Concat(1, arity=3), F((2, 1)), F((2, 2)), F((2, 3)), F((2, 6)), 0),
    (Slice(-1, 1, 3), F((5, 3)), F((5, 2)), 0),
    (Transpose((1, 0)), F((5, 3)), F((3, 5)), 0),
    (Pool2d("max", (2, 2)), F((1, 3, 3, 4), "int8"), F((1, 2, 2, 4), "int8"), 0),
    (Quantize(ONE), F((BATCH, 3)), F((BATCH, 3), "int8"), None),
    (Quantize(TWO, "uint8"), F((5, 2)), F((5, 2), "uint8"), 0),
    (Dequantize(ONE), F((5, 3), "int32"), F((5, 3)), 0),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda c: f"{c[0]}")
def test_specs_and_macs_by_hand(case):
    op, *inputs, output, macs = case
    assert infer_spec(op, inputs) == output
    if macs is not None:
        assert op.macs(*inputs) == macs


def test_every_op_is_tried_here():
    tried = {type(case[0]) for case in REFUSED}
    assert tried == set(OPS.values())


def layer():
    b = Builder("layer")
    x = b.input("x", (BATCH, 5))
    z = b.matmul(x, b.constant("w", zeros(5, 7)), name="z")
    return b.graph([b.unary("tanh", z, name="a")])


def test_macs_of_a_bound_graph():
    graph = layer().bind(3)
    assert [graph.macs(node) for node in graph.nodes] == [3 * 5 * 7, 0]
    assert not graph.has_batch
    assert graph.specs["a"] == F((3, 7))


def test_macs_of_an_open_graph_are_refused():
    with pytest.raises(GraphError, match="bind"):
        layer().specs["x"].size  # noqa: B018


@pytest.mark.parametrize("batch", [0, -1, -3])
def test_bind_needs_a_sample(batch):
    with pytest.raises(GraphError, match="at least one sample"):
        layer().bind(batch)


@pytest.mark.parametrize("batch", [1, 4])
def test_bind_gives_every_sample_its_first_state(batch):
    """A state with one row a sample starts at the same value for each of them."""
    first = np.array([[1, 2, 3]], np.float32)
    graph = Graph(**parts() | {"states": (State("h", "y", first),)})
    x = np.ones((batch, 2), np.float32)
    bound = graph.bind(batch)
    assert bound.states[0].init.shape == (batch, 3)
    wanted = run(graph, {"x": x})
    got = run(bound, {"x": x})
    assert np.array_equal(got.outputs["y"], wanted.outputs["y"])
    assert np.array_equal(got.states["h"], wanted.states["h"])
    assert bound.bind(batch).specs == bound.specs


def test_bind_shares_the_arrays():
    graph = layer()
    assert graph.bind(2).constants["w"] is graph.constants["w"]


def test_a_graph_is_frozen():
    with pytest.raises(AttributeError):
        layer().name = "other"
    with pytest.raises(GraphError):
        replace(layer(), outputs=("none",))


# The builder


@pytest.fixture
def b():
    builder = Builder("b")
    builder.input("x", (BATCH, 2))
    builder.constant("k", zeros(2))
    builder.state("s", zeros(2))
    return builder


@pytest.mark.parametrize("name", ["x", "k", "s"])
@pytest.mark.parametrize("kind", ["input", "constant", "state", "node", "rename"])
def test_a_name_is_given_once(b, name, kind):
    makers = {
        "input": lambda: b.input(name, (2,)),
        "constant": lambda: b.constant(name, zeros(3)),
        "state": lambda: b.state(name, zeros(3)),
        "node": lambda: b.unary("neg", "x", name=name),
        "rename": lambda: b.rename(b.unary("neg", "x"), name),
    }
    with pytest.raises(GraphError, match="taken"):
        makers[kind]()
    # What stood there is as it was.
    if kind != "rename":
        graph = b.graph([b.binary("add", "x", "k")])
        assert graph.inputs == ("x",)
        assert graph.constants["k"].shape == (2,)
        assert [s.init.shape for s in graph.states] == [(2,)]


def test_values_must_be_there_before_they_are_used(b):
    with pytest.raises(GraphError, match="'later'"):
        b.unary("neg", "later")
    with pytest.raises(GraphError, match="'later'"):
        b.graph(["later"])


def test_only_states_are_updated(b):
    for name in ("x", "k", "typo"):
        with pytest.raises(GraphError, match="name of a state"):
            b.update(name, "k")
    b.update("s", "typo")
    with pytest.raises(GraphError, match="'typo'"):
        b.graph(["x"])


@pytest.mark.parametrize("name", ["x", "k", "s", "typo"])
def test_only_what_a_node_makes_is_renamed(b, name):
    with pytest.raises(GraphError, match="a node makes"):
        b.rename(name, "new")


def test_rename_reaches_nodes_and_updates(b):
    """A recurrent cell's activation is its next state and, renamed, the output."""
    a = b.binary("add", "s", "k")
    b.update("s", a)
    last = b.unary("neg", a)
    b.rename(a, "a")
    assert b.rename("a", "a") == "a"
    graph = b.graph(["a", last])
    assert graph.states[0].output == "a"
    assert graph.nodes[1].inputs == ("a",)


def test_a_state_without_update_keeps_its_value(b):
    assert b.graph(["x"]).states[0].output == "s"


def test_constants_must_be_of_a_known_dtype(b):
    for value in (np.zeros(2), np.zeros(2, bool), np.zeros(2, np.complex64), np.array(["a"])):
        with pytest.raises(GraphError):
            b.constant("q", value)
    assert "q" not in b.specs


def test_scalars_are_shared_but_never_confused(b):
    assert b.scalar(1) == b.scalar(1.0)
    close = [0.2, np.nextafter(np.float32(0.2), np.float32(1)), 0.20001, -0.2, 0.0, 1e-37, 1e20]
    names = [b.scalar(float(value)) for value in close]
    assert len(set(names)) == len(close)
    graph = b.graph(names)
    for name, value in zip(names, close, strict=True):
        assert graph.constants[name] == np.float32(value)


def test_scopes_name_values_and_nest(b):
    with b.scope("outer"):
        first = b.unary("neg", "x")
        with b.scope("inner"):
            second = b.unary("neg", "x")
        third = b.unary("neg", "x")
    assert (first, second, third) == ("outer/neg", "outer/inner/neg", "outer/neg_2")
    assert b.unary("neg", "x") == "neg"


def test_a_scope_ends_with_an_error(b):
    with pytest.raises(GraphError), b.scope("s"):
        b.unary("neg", "none")
    assert b.fresh("v") == "v"


def test_nodes_and_scalars_that_nothing_needs_are_left_out():
    b = Builder("idle")
    x = b.input("x", (-1, 3))
    state = b.state("count", np.zeros((), np.float32))
    b.update(state, b.binary("add", state, b.scalar(1)))
    kept = b.constant("kept", np.ones(3, np.float32))
    idle = b.binary("mul", b.unary("tanh", x), b.scalar(2))
    graph = b.graph([b.unary("relu", x)])
    assert [type(node.op).__name__ for node in graph.nodes] == ["Binary", "Unary"]
    assert set(graph.constants) == {kept, "c1.0"}
    assert idle not in graph.specs
