"""How values come into the generated C and leave it: checked, before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass

from edgelearn.export.c_emitter import C_TYPES, Emitter, Names
from edgelearn.export.c_math import TO_BITS
from edgelearn.export.c_text import helper
from edgelearn.ir import Graph, TensorSpec
from edgelearn.ir.ops import Gather, OneHot

TAKE = helper(
    """
/* Copy numbers; 1 if one of them is infinite or no number. */
static int take(const float *from, float *to, int count)
{
    int i, bad = 0;
    for (i = 0; i < count; i++) {
        bad |= (to_bits(from[i]) & 0x7f800000u) == 0x7f800000u;
        to[i] = from[i];
    }
    return bad;
}
""",
    TO_BITS,
)

TAKE_LABELS = helper("""
/* Widen whole numbers; 1 if one of them is not below the limit, or is negative. */
static int take_labels(const int32_t *from, void *to, int count, int32_t limit)
{
    int i, bad = 0;
    for (i = 0; i < count; i++) {
        const int64_t label = from[i];
        bad |= label < 0 || label >= limit;
        memcpy((char *)to + (size_t)i * sizeof label, &label, sizeof label);
    }
    return bad;
}
""")

ENTRY_TYPES = {**C_TYPES, "int64": "int32_t"}
"""What a caller passes: a class number never needs 64 bits."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input or output of a function: its name in C, and the value of the Graph it is."""

    name: str
    value: str
    spec: TensorSpec
    is_output: bool

    @property
    def address(self) -> str:
        """Where the caller has it; a scalar input is passed by value."""
        return self.name if self.spec.shape or self.is_output else f"&{self.name}"

    @property
    def element(self) -> str:
        """The C type of its elements."""
        return (C_TYPES if self.is_output else ENTRY_TYPES)[self.spec.dtype]

    @property
    def declaration(self) -> str:
        """As it stands in the function's head."""
        if self.is_output:
            return f"{self.element} *{self.name}"
        star = "*" if self.spec.shape else ""
        return f"{'const ' if star else ''}{self.element} {star}{self.name}"


def parameters(graph: Graph) -> list[Parameter]:
    """What the function of a Graph takes, in order: inputs, then outputs."""
    names = Names()
    found = [Parameter(names.of(v), v, graph.specs[v], is_output=False) for v in graph.inputs]
    for value in graph.outputs:
        name = names.of(f"{value}.out" if value in graph.inputs else value)
        found.append(Parameter(name, value, graph.specs[value], is_output=True))
    return found


def take_inputs(e: Emitter, upper: str) -> None:
    """The statements that check and copy all inputs; `upper` is the prefix of the codes."""
    for p in parameters(e.graph):
        place = e.ref(p.value)
        if p.is_output:
            continue
        if p.spec.dtype == "float32":
            e.need(TAKE)
            check, code = f"take({p.address}, {place}, {p.spec.size})", "NOT_FINITE"
        elif p.spec.dtype == "int64":
            e.need(TAKE_LABELS)
            limit = label_limit(e.graph, p.value)
            check, code = f"take_labels({p.address}, {place}, {p.spec.size}, {limit})", "BAD_LABEL"
        else:
            e.lines.append(f"memcpy({place}, {p.address}, {p.spec.nbytes});")
            continue
        e.lines += [f"if ({check})", f"    return {upper}_{code};"]


def give_outputs(e: Emitter, upper: str) -> None:
    """The statements that copy outputs to the caller, and new values of states to their places."""
    given = [p for p in parameters(e.graph) if p.is_output]
    numbers = [p for p in given if p.spec.dtype == "float32"]
    e.lines += ["int bad = 0;"] if numbers else []
    for p in given:
        source = e.ref(p.value)
        if p in numbers:
            e.need(TAKE)
            e.lines.append(f"bad |= take({source}, {p.name}, {p.spec.size});")
        else:
            e.lines.append(f"memcpy({p.name}, {source}, {p.spec.nbytes});")
    outputs = {state.input: state.output for state in e.graph.states}
    for state in e.plan.copies:
        e.copy(e.ref(outputs[state]), e.ref(state), e.spec(state).nbytes)
    code = f"bad ? {upper}_DIVERGED : {upper}_OK" if numbers else f"{upper}_OK"
    e.lines.append(f"return {code};")


def label_limit(graph: Graph, name: str) -> int:
    """One more than the largest whole number that an input may hold."""
    limits = [_limit(graph, n.op, n.inputs) for n in graph.nodes if name in n.inputs]
    return min(limits, default=2**31 - 1)


def _limit(graph: Graph, op: object, inputs: tuple[str, ...]) -> int:
    if isinstance(op, OneHot):
        return op.depth
    return graph.specs[inputs[0]].shape[0] if isinstance(op, Gather) else 2**31 - 1
