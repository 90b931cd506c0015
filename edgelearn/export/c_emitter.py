"""Collects the statements of one C function, and which helper functions it calls."""

from __future__ import annotations

import re

from edgelearn.arrays import Array
from edgelearn.errors import UnsupportedOp
from edgelearn.export.c_text import Helper
from edgelearn.ir import ArenaPlan, Graph, TensorSpec

C_TYPES = {
    "float32": "float",
    "int32": "int32_t",
    "int64": "int64_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
}
RESERVED = frozenset(
    """
    alignas alignof and asm auto bool break case catch char class const continue default delete
    do double else enum explicit export extern false float for friend goto if inline int long
    mutable namespace new not operator or private protected public register return short signed
    sizeof static struct switch template this throw true try typedef typename union unsigned
    using virtual void volatile while xor arena state bad code
    """.split()  # noqa: SIM905  a list of words, one a line, is no easier to read
)
"""Words of C and C++, and variables of our own, that no value may be called."""


class Names:
    """Identifiers of C for names of a Graph: one each, none twice.

    >>> names = Names()
    >>> names.of("dense1.w"), names.of("dense1/w"), names.of("2")
    ('dense1_w', 'dense1_w_2', 'v2')
    """

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._taken = set(RESERVED)

    def of(self, name: str) -> str:
        """The identifier of `name`."""
        if name not in self._found:
            stem = identifier(name)
            made, number = stem, 2
            while made in self._taken:
                made, number = f"{stem}_{number}", number + 1
            self._taken.add(made)
            self._found[name] = made
        return self._found[name]


def identifier(name: str) -> str:
    """`name` with what C does not allow in a name replaced.

    >>> identifier("digits-mlp")
    'digits_mlp'
    """
    stem = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "v"
    return stem if stem[0].isalpha() else f"v{stem}"


class File:
    """What the functions of one file share: names, tables, and the helpers they call.

    Parameters
    ----------
    prefix : str
        An identifier, with which every public name begins.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.upper = prefix.upper()
        self.constants, self.states = Names(), Names()
        self.tables: dict[tuple[str, str], str] = {}
        self.helpers: dict[str, Helper] = {}


class Emitter:
    """The statements of one Graph as a function, as they are made.

    Parameters
    ----------
    graph : Graph
        Bound to a batch.
    plan : ArenaPlan
        Of that Graph.
    file : File
        Where helpers and tables that are needed go.
    """

    def __init__(self, graph: Graph, plan: ArenaPlan, file: File) -> None:
        self.graph, self.plan, self.file = graph, plan, file
        self.lines: list[str] = []
        self._state_inputs = {state.input for state in graph.states}

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of a value."""
        return self.graph.specs[name]

    def ref(self, name: str) -> str:
        """The C expression of the address of a value."""
        if name in self.graph.constants:
            return self.file.constants.of(name)
        home = self.plan.on_state.get(name, name)
        if home in self._state_inputs:
            return f"state.{self.file.states.of(home)}"
        offset, rest = divmod(self.plan.offsets[name], 4)
        assert rest == 0  # noqa: S101  the planner aligns to 16 bytes
        return f"arena + {offset}" if offset else "arena"

    def call(self, helper: Helper, *arguments: object) -> None:
        """A statement that calls `helper`."""
        self.need(helper)
        self.lines.append(f"{helper.name}({', '.join(map(str, arguments))});")

    def need(self, helper: Helper) -> None:
        """Have `helper`, and what it calls, in the file."""
        for other in helper.needs:
            self.need(other)
        self.file.helpers.setdefault(helper.name, helper)

    def copy(self, source: str, target: str, size_bytes: int) -> None:
        """A statement that copies bytes, unless they are there already."""
        if source != target:
            self.lines.append(f"memcpy({target}, {source}, {size_bytes});")

    def table(self, kind: str, *values: object) -> str:
        """The name of constant settings in the file: ``struct KIND``, or an array of KIND."""
        text = "{" + ", ".join(map(str, values)) + "}"
        name = f"{identifier(kind.removeprefix('struct '))}_{len(self.file.tables) + 1}"
        return self.file.tables.setdefault((kind, text), name)


def unsupported(what: str, expected: str, got: str) -> UnsupportedOp:
    """The error of an op that has no form in C."""
    return UnsupportedOp(what, expected=expected, got=got, fix="export ONNX, or change the model")


def array_text(value: Array, indent: str = "    ") -> str:
    """The elements of `value` as a C initializer; float32 so that it reads back the same bits.

    >>> import numpy as np
    >>> print(array_text(np.array([0.1, -2], np.float32)))
    {
        0.1f, -2.0f
    }
    """
    flat = value.ravel()
    if value.dtype.kind == "f":
        words = [str(number) + "f" for number in flat]  # the shortest text of a float32
    else:
        words = [_whole(number) for number in flat.tolist()]
    lines = [", ".join(words[i : i + 12]) for i in range(0, len(words), 12)]
    return "{\n" + ",\n".join(indent + line for line in lines) + "\n}"


def _whole(number: int) -> str:
    return f"{number}" if abs(number) < 2**31 else f"INT64_C({number})"
