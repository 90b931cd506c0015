"""The arena plan: no two live values share bytes, and running by it gives what the Graph says."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import ENGINE_F32

from edgelearn import workflow
from edgelearn.errors import GraphError
from edgelearn.ir import Builder, Graph, Node, plan_arena, run
from edgelearn.ir.interp import BINARY, UNARY, evaluate
from edgelearn.ir.ops import AddOuter, Binary, MatMul, Reshape, Unary
from edgelearn.lowering import to_train_graph
from edgelearn.passes.reorder import _Walk, reorder

RUNS = 3
EXACT = 1 << 24
"""Whole numbers below this are exact in float32, in whatever order they are added."""


class Machine:
    """Runs a bound Graph as firmware does: one block, states apart, one element after another.

    An op that writes onto what it still has to read gives a wrong result here, as it would there.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.plan = plan_arena(graph)
        self.block = np.empty(self.plan.size_bytes, np.uint8)
        self.states = {s.input: np.array(s.init) for s in graph.states}

    def value(self, name: str) -> np.ndarray:
        """The storage of a value, seen as an array."""
        graph, plan = self.graph, self.plan
        if name in graph.constants:
            return graph.constants[name]
        spec = graph.specs[name]
        if name in self.states or name in plan.on_state:
            return self.states[plan.on_state.get(name, name)].reshape(spec.shape)
        start = plan.offsets[name]
        return self.block[start : start + spec.nbytes].view(spec.dtype).reshape(spec.shape)

    def __call__(self, feeds):
        self.block[:] = 0xFF  # NaN: what an earlier run left must not matter
        for name in self.graph.inputs:
            self.value(name)[...] = feeds[name]
        for node in self.graph.nodes:
            compute(node.op, [self.value(i) for i in node.inputs], self.value(node.output))
        outputs = {name: self.value(name).copy() for name in self.graph.outputs}
        after = {s.input: s.output for s in self.graph.states}
        for state in self.plan.copies:
            self.states[state][...] = self.value(after[state])
        return outputs


def compute(op, inputs, out):
    """`op` on storage that may be shared: elements are read when they are needed, not before."""
    match op:
        case Binary():
            one_by_one(BINARY[op.kind], np.broadcast_arrays(*inputs), out)
        case Unary():
            one_by_one(UNARY[op.kind], inputs, out)
        case Reshape():
            one_by_one(lambda a: a, [inputs[0].reshape(out.shape)], out)
        case MatMul():
            a = inputs[0].T if op.transpose_a else inputs[0]
            b = inputs[1].T if op.transpose_b else inputs[1]
            for i, j in np.ndindex(out.shape):
                out[i, j] = (a[i] * b[:, j]).sum()
        case AddOuter():
            w, x, d = inputs
            one_by_one(lambda a: a, [w], out)
            for n in range(len(x)):
                for k, m in np.ndindex(out.shape):
                    out[k, m] += x[n, k] * d[n, m]
        case _:
            out[...] = evaluate(op, *inputs)


def one_by_one(function, inputs, out):
    for place in np.ndindex(out.shape):
        out[place] = function(*(a[place] for a in inputs))


def check_plan(graph: Graph) -> None:
    """Places, alignment and size, from lifetimes counted here once more."""
    plan = plan_arena(graph)
    end = len(graph.nodes) + 1
    made = dict.fromkeys((*graph.inputs, *(s.input for s in graph.states)), 0)
    last = dict.fromkeys(graph.specs, 0)
    nodes = {}
    for step, node in enumerate(graph.nodes, start=1):
        made[node.output] = last[node.output] = step
        nodes[node.output] = node
        for name in node.inputs:
            last[name] = step
    for name in (*graph.outputs, *(s.output for s in graph.states)):
        last[name] = end

    def place(name):
        if name in plan.offsets:
            start = plan.offsets[name]
            return "arena", start, start + graph.specs[name].nbytes
        return plan.on_state.get(name, name), 0, graph.specs[name].nbytes

    def takes_over(old, new):
        node = nodes.get(new)
        if node is None or last[old] != made[new]:
            return False
        positions = {i for i, name in enumerate(node.inputs) if name == old}
        return bool(positions) and positions <= set(node.op.overwrites)

    assert set(plan.offsets) | set(plan.on_state) == set(made) - {s.input for s in graph.states}
    for name, offset in plan.offsets.items():
        assert offset % 16 == 0
        assert 0 <= offset <= offset + graph.specs[name].nbytes <= plan.size_bytes
        first, final = plan.lifetimes[name]
        assert first <= made[name] <= last[name] <= final
    for a, b in itertools.combinations(made, 2):
        (space_a, from_a, to_a), (space_b, from_b, to_b) = place(a), place(b)
        apart = space_a != space_b or to_a <= from_b or to_b <= from_a
        never_together = last[a] < made[b] or last[b] < made[a]
        legitimate = (from_a, to_a) == (from_b, to_b) and (takes_over(a, b) or takes_over(b, a))
        assert apart or never_together or legitimate, f"{a} and {b}"
    for step in range(end):
        kept = [n for n in plan.offsets if made[n] <= step < last[n]]
        assert plan.size_bytes >= sum(graph.specs[n].nbytes for n in kept)
    whole = sum(-(-graph.specs[n].nbytes // 16) * 16 for n in plan.offsets)
    assert plan.size_bytes <= whole


def check_runs(graph: Graph, feeds, *, atol: float = 0.0) -> None:
    """`RUNS` runs by the plan give the outputs and states of the interpreter."""
    machine, states = Machine(graph), None
    for fed in feeds:
        with np.errstate(all="ignore"):
            expected = run(graph, fed, states)
        states = expected.states
        values = [*expected.outputs.values(), *states.values()]
        if not atol and not all((np.abs(v) < EXACT / 64).all() for v in values):
            return
        outputs = machine(fed)
        for name, value in expected.outputs.items():
            np.testing.assert_allclose(outputs[name], value, rtol=0, atol=atol, err_msg=name)
        for name, value in states.items():
            np.testing.assert_allclose(machine.states[name], value, rtol=0, atol=atol, err_msg=name)


def whole_numbers(rng, shape):
    return rng.integers(-2, 3, shape).astype(np.float32)


def ring(graph: Graph) -> bool:
    """Whether states pass their old values round and round."""
    after = {s.input: s.output for s in graph.states}
    for start, name in after.items():
        length = 1
        while name in after and name != start and length <= len(after):
            name, length = after[name], length + 1  # noqa: PLW2901  on to the next
        if name == start and length > 1:
            return True
    return False


SHAPES = [(), (2,), (2, 2), (2, 3), (3, 2), (3, 3), (1, 3), (4,)]


@st.composite
def graphs(draw):
    """Valid graphs of every shape of reuse: fan-out, dead values, states handed on."""
    b = Builder("random")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for i in range(draw(st.integers(1, 3))):
        b.input(f"x{i}", draw(st.sampled_from(SHAPES)))
    for i in range(draw(st.integers(0, 2))):
        b.constant(f"k{i}", whole_numbers(rng, draw(st.sampled_from(SHAPES))))
    states = [
        b.state(f"s{i}", whole_numbers(rng, draw(st.sampled_from(SHAPES))))
        for i in range(draw(st.integers(0, 3)))
    ]
    for _ in range(draw(st.integers(0, 10))):
        add_node(draw, b)
    for state in states:
        same = [name for name, spec in b.specs.items() if spec == b.specs[state]]
        recent = same[-2:] if draw(st.booleans()) else same
        b.update(state, draw(st.sampled_from(recent)))
    outputs = draw(st.lists(st.sampled_from(list(b.specs)), min_size=1, max_size=3, unique=True))
    graph = b.graph(outputs)
    shapes = {name: graph.specs[name].shape for name in graph.inputs}
    feeds = [{n: whole_numbers(rng, s) for n, s in shapes.items()} for _ in range(RUNS)]
    return graph, feeds


def add_node(draw, b: Builder) -> None:
    """One more node on values drawn at random, if such an op fits any."""
    names = list(b.specs)
    kind = draw(st.sampled_from(["unary", "binary", "binary", "matmul", "outer", "outer", "shape"]))
    a = draw(st.sampled_from(names))
    shape = b.specs[a].shape
    try:
        if kind == "unary":
            b.unary(draw(st.sampled_from(["neg", "relu", "abs", "sign"])), a)
        elif kind == "binary":
            other = draw(st.sampled_from(names))
            b.binary(draw(st.sampled_from(["add", "sub", "max", "min", "mul"])), a, other)
        elif kind == "matmul":
            flags = draw(st.tuples(st.booleans(), st.booleans()))
            b.apply(MatMul(*flags), a, draw(st.sampled_from(names)))
        elif kind == "outer":
            pairs = [p for p in itertools.product(names, names) if fits(b, a, *p)]
            if pairs:
                b.apply(AddOuter(), a, *draw(st.sampled_from(pairs)))
        else:
            size = math.prod(shape)
            ways = [s for s in SHAPES if math.prod(s) == size]
            b.apply(Reshape(draw(st.sampled_from(ways))), a)
    except GraphError:
        return  # these values do not fit: one node less


def fits(b: Builder, w: str, x: str, d: str) -> bool:
    shapes = [b.specs[name].shape for name in (w, x, d)]
    if any(len(shape) != 2 for shape in shapes):
        return False
    return shapes[1][0] == shapes[2][0] and shapes[0] == (shapes[1][1], shapes[2][1])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_random_graphs_run_by_their_plan(drawn):
    graph, feeds = drawn
    if ring(graph):
        with pytest.raises(GraphError, match="ring"):
            plan_arena(graph)
        return
    check_plan(graph)
    check_runs(graph, feeds)
    other = reorder(graph, 1)
    assert plan_arena(other).size_bytes <= plan_arena(graph).size_bytes
    for patient in (False, True):
        nodes = tuple(_Walk(graph, patient=patient).order())
        check_runs(replace(graph, nodes=nodes), feeds)


def feeds_of(graph, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {name: whole_numbers(rng, graph.specs[name].shape) for name in graph.inputs}
        for _ in range(RUNS)
    ]


def registers(*moves: tuple[str, str]):
    """States a, b, c of shape (2, 2); each move is (state, the value it takes)."""
    b = Builder("registers")
    b.input("x", (2, 2))
    for number, state in enumerate("abc", start=1):
        b.state(state, np.full((2, 2), number, np.float32))
    b.unary("neg", "x", name="new")
    for state, value in moves:
        b.update(state, value)
    return b.graph(["new"])


@pytest.mark.parametrize(
    "moves",
    [
        [("a", "b"), ("b", "c"), ("c", "new")],
        [("c", "b"), ("b", "a"), ("a", "new")],
        [("b", "a"), ("c", "a"), ("a", "x")],
        [("a", "b"), ("c", "b")],
        [("a", "new"), ("b", "new"), ("c", "new")],
        [],
    ],
)
def test_shift_registers(moves):
    """A state that hands its old value on is written after the state that takes it."""
    graph = registers(*moves)
    check_plan(graph)
    check_runs(graph, feeds_of(graph))


@pytest.mark.parametrize("moves", [[("a", "b"), ("b", "a")], [("a", "b"), ("b", "c"), ("c", "a")]])
def test_a_ring_of_states_is_refused(moves):
    with pytest.raises(GraphError, match=r"ring.*Fix: let one of them pass through a Reshape"):
        plan_arena(registers(*moves))


def test_a_ring_with_a_node_in_it_runs():
    b = Builder("swap")
    b.input("x", (2,))
    b.state("a", np.array([1, 2], np.float32))
    b.state("b", np.array([3, 4], np.float32))
    b.update("a", b.apply(Reshape((2,)), "b"))
    b.update("b", "a")
    graph = b.graph(["x"])
    check_plan(graph)
    check_runs(graph, feeds_of(graph))


def test_a_state_without_a_new_value_costs_nothing():
    graph = registers()
    assert plan_arena(graph).copies == ()


@pytest.mark.parametrize("reader", ["x", "d"])
def test_an_outer_product_never_writes_onto_what_it_reads(reader):
    """``w`` may be overwritten, unless the same value is read as `x` or `d` too."""
    b = Builder("square")
    w = b.state("w", np.array([[1, 2], [3, 4]], np.float32))
    other = b.input("x", (2, 2))
    arguments = (w, w, other) if reader == "x" else (w, other, w)
    b.update(w, b.apply(AddOuter(), *arguments, name="next"))
    graph = b.graph([other])
    assert plan_arena(graph).copies == ("w",)
    check_plan(graph)
    check_runs(graph, feeds_of(graph))


def test_an_update_happens_where_the_parameter_lies():
    b = Builder("step")
    w = b.state("w", np.zeros((2, 3), np.float32))
    b.update(w, b.apply(AddOuter(), w, b.input("x", (4, 2)), b.input("d", (4, 3)), name="next"))
    plan = plan_arena(b.graph(["next"]))
    assert plan.on_state == {"next": "w"}
    assert plan.copies == ()
    assert set(plan.offsets) == {"x", "d"}


def test_a_state_read_after_its_new_value_is_made_keeps_its_bytes():
    b = Builder("late")
    h = b.state("h", np.ones(4, np.float32))
    b.update(h, b.binary("add", h, b.input("x", (4,)), name="new"))
    graph = b.graph([b.binary("sub", "new", h, name="change")])
    assert plan_arena(graph).copies == ("h",)
    check_plan(graph)
    check_runs(graph, feeds_of(graph))


def test_an_input_is_never_overwritten():
    b = Builder("kept")
    graph = b.graph([b.unary("neg", b.input("x", (8,)), name="y")])
    plan = plan_arena(graph)
    assert plan.offsets["x"] != plan.offsets["y"]


def test_a_chain_takes_one_buffer_and_a_dead_value_is_no_hole():
    b = Builder("chain")
    x = b.input("x", (64,))
    y = first = b.unary("neg", x, name="first")
    for i in range(5):
        y = b.unary("neg", y, name=f"y{i}")
    dead = Node(Unary("abs"), ("x",), "dead")
    live = b.graph([y])
    specs = {**live.specs, "dead": live.specs[first]}
    graph = replace(live, nodes=(*live.nodes[:1], dead, *live.nodes[1:]), specs=specs)
    assert plan_arena(graph).size_bytes == 3 * 64 * 4
    check_plan(graph)
    check_runs(graph, feeds_of(graph))


def test_an_open_batch_is_refused():
    b = Builder("open")
    graph = b.graph([b.unary("neg", b.input("x", (-1, 2)))])
    with pytest.raises(GraphError, match="bound batch"):
        plan_arena(graph)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("loss", ["cross_entropy", "l2", "l1"])
def test_a_real_training_step_runs_by_its_plan(digits, batch, loss):
    recipe = workflow.embedded_recipe()
    hidden, head = recipe.layers
    local = msgspec.structs.replace(hidden.local, loss=loss)
    small = msgspec.structs.replace(hidden.layer, units=12)
    hidden = msgspec.structs.replace(hidden, local=local, layer=small)
    recipe = msgspec.structs.replace(recipe, layers=(hidden, hidden, head))
    graph = to_train_graph(workflow.new_model(recipe, digits).network).bind(batch)
    check_plan(graph)
    feeds = [
        {
            "x": digits.x_train[i * batch : (i + 1) * batch].astype(np.float32),
            "y": digits.y_train[i * batch : (i + 1) * batch],
            "lr": np.array(0.05, np.float32),
        }
        for i in range(RUNS)
    ]
    check_runs(graph, feeds, atol=10 * ENGINE_F32)


def test_the_random_graphs_are_of_every_kind():
    """The test above would pass if it drew nothing but trivial graphs."""
    seen = Counter()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(graphs())
    def look(drawn):
        graph, _ = drawn
        if ring(graph):
            seen["ring"] += 1
            return
        plan = plan_arena(graph)
        seen["in place on a state"] += bool(plan.on_state)
        seen["copies"] += bool(plan.copies)
        seen["shared"] += len(set(plan.offsets.values())) < len(plan.offsets)
        seen["outer"] += any(isinstance(n.op, AddOuter) for n in graph.nodes)
        seen["matmul"] += any(isinstance(n.op, MatMul) for n in graph.nodes)

    look()
    assert all(seen[kind] >= 3 for kind in ("in place on a state", "copies", "shared", "outer"))
