"""What every target of an export is made of: a draft, and the runtimes that judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edgelearn.export.verify import Runner
from edgelearn.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller may choose; None leaves it to the target.

    Attributes
    ----------
    opset : int, optional
        The version of the ONNX operators.
    batch : int, optional
        The number of samples of one run, for targets whose shapes are fixed.
    dense : bool, optional
        Whether pruned matrices are stored with their zeros; of targets that have another form.
    name : str, optional
        What the model is called in the file, where it is called something: the stem of its name.
    """

    opset: int | None = None
    batch: int | None = None
    dense: bool | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that nothing has run yet.

    Attributes
    ----------
    content : bytes
    outputs, states : mapping of str to str
        What the file calls each output, and the next value of each state.
    batch : int, optional
        The number of samples of one run, if the file fixes it.
    refused : tuple of str
        Runtimes that must not be given this file, each with the reason.
    beside : mapping of str to bytes
        Other files of the same stem, by suffix.
    """

    content: bytes
    outputs: Mapping[str, str]
    states: Mapping[str, str]
    batch: int | None = None
    refused: tuple[str, ...] = ()
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to run a draft: a runtime with one of its delegates.

    Attributes
    ----------
    name, version : str
    run : callable
        One run: inputs and states in, outputs by name out. States left out start at their
        first values.
    graph : Graph, optional
        What it computes, if that is a part of the Graph: all values are then called as there.
    batch : int, optional
        The number of samples of one run, if it is not that of the draft.
    """

    name: str
    version: str
    run: Runner
    graph: Graph | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A format that is written.

    Attributes
    ----------
    format : str
        Its name, as in the keys of `edgelearn.export.verify.TOLERANCES`.
    options : frozenset of str
        The fields of `Options` that mean something here.
    draft : callable
        The file of a Graph, with what it shall say of itself.
    lanes : callable
        Every installed runtime and delegate, with the draft loaded. At least one, or it raises
        `MissingRuntime`: what nothing here can run is not handed over.
    """

    format: str
    options: frozenset[str]
    draft: Callable[[Graph, Mapping[str, str], Options], Draft]
    lanes: Callable[[Draft], Iterator[Lane]]
