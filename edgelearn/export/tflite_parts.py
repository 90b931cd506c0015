"""The parts of a TFLite model while it is read, and how a file is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelearn.arrays import Array, Shape
from edgelearn.errors import GraphError, ModelFileError, UnsupportedOp
from edgelearn.ir.structure import Structure


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """Scales and zero points of a tensor, one or one for each position of `axis`."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int


@dataclass(frozen=True, slots=True, eq=False)
class TfliteTensor:
    """One tensor; `value` is None if it is computed or fed.

    Of a matrix with a `structure`, it holds the weights that are kept.
    """

    name: str
    shape: Shape
    dtype: str
    value: Array | None
    quantization: Quantization | None
    structure: Structure | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TfliteNode:
    """One operator. Inputs that are left out are -1."""

    op: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any
    """The schema's reader of the options, or None where the file leaves them out."""

    @property
    def out(self) -> int:
        """The first output."""
        return self.outputs[0]

    def option(self, name: str, default: Any = 0) -> Any:
        """One of the options."""
        return default if self.options is None else getattr(self.options, name)()


@dataclass(frozen=True, slots=True, eq=False)
class TfliteSubgraph:
    """Tensors, and operators in the order in which they run."""

    name: str
    tensors: tuple[TfliteTensor, ...]
    nodes: tuple[TfliteNode, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TfliteModel:
    """The parts of a file.

    `signatures` has, by key, the position of a subgraph, and its inputs and outputs by name.
    """

    subgraphs: tuple[TfliteSubgraph, ...]
    metadata: dict[str, bytes]
    signatures: dict[str, tuple[int, dict[str, int], dict[str, int]]]


def bad_file(
    path: Path, expected: str, got: str, fix: str = "download or export the model again"
) -> ModelFileError:
    """What is raised for a file that cannot be used."""
    return ModelFileError(f"model {str(path)!r}", expected=expected, got=got, fix=fix)


def unsupported(path: Path, op: str, name: str, expected: str, got: str) -> UnsupportedOp:
    """What is raised for a node that cannot be read."""
    return UnsupportedOp(
        f"model {str(path)!r}, node {name!r}, op {op}",
        expected=expected,
        got=got,
        fix="export the model without it, or ask us for it",
    )


def refused(expected: str, got: str) -> GraphError:
    """What an arm raises for a form that it cannot read; the reader adds the node and the file."""
    return GraphError("node", expected=expected, got=got, fix="")
