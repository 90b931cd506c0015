"""The parts of `edgelearn predict`: samples in, classes out, without Numba."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgelearn.arrays import F32, Array, Shape, as_f32, check_finite
from edgelearn.errors import DataFileError, DataShapeError, UnknownName
from edgelearn.files import require_file
from edgelearn.ir import Graph, run, store

STDIN = Path("-")


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """The inference Graph of a model, run by the interpreter one sample at a time."""

    graph: Graph
    classes: list[str]

    @property
    def in_shape(self) -> Shape:
        """Shape of one sample."""
        return self.graph.specs[self.graph.inputs[0]].shape[1:]

    def __call__(self, sample: F32) -> dict[str, str | float]:
        """The likeliest class of one sample."""
        outputs = run(self.graph, {self.graph.inputs[0]: sample[None]}).outputs
        probabilities = outputs[self.graph.outputs[0]][0]
        best = int(probabilities.argmax())
        return {"class": self.classes[best], "probability": float(probabilities[best])}


def classifier(path: Path) -> Classifier:
    """The classifier in the model file at `path`."""
    bundle = store.read(path)
    return Classifier(bundle.graphs["infer"], [str(c) for c in bundle.meta["classes"]])


def samples(files: Iterable[Path], shape: Shape) -> Iterator[F32]:
    """Every sample of the files, checked, of shape `shape`."""
    for path in files:
        source = _lines(sys.stdin, "stdin") if path == STDIN else _file(path)
        for number, sample in enumerate(source, start=1):
            where = f"{'stdin' if path == STDIN else path}, sample {number}"
            yield _fitting(sample, shape, where)


def _fitting(sample: Array, shape: Shape, where: str) -> F32:
    if sample.size != np.prod(shape):
        raise DataShapeError(
            where,
            expected=f"{int(np.prod(shape))} numbers (shape {list(shape)})",
            got=f"{sample.size}",
            fix="give the features that the model was trained on, without the label",
        )
    check_finite(sample.reshape(1, -1), where)
    return as_f32(sample).reshape(shape)


def _file(path: Path) -> Iterator[Array]:
    require_file(path, "data", "check the path")
    if path.suffix == ".npy":
        try:
            yield from np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError, TypeError) as error:
            raise DataFileError(
                f"data {str(path)!r}",
                expected="a whole .npy array, one sample a row",
                got=str(error).splitlines()[0],
                fix="write it again with numpy.save",
            ) from None
    elif path.suffix in (".csv", ".tsv", ".txt"):
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from _lines(lines, str(path))
    else:
        raise UnknownName(
            f"data {str(path)!r}",
            expected="a .npy, .csv, .tsv or .txt file",
            got=f"a file ending in {path.suffix!r}",
            fix="save the samples as one of these",
        )


def _lines(lines: Iterable[str], where: str) -> Iterator[Array]:
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            yield np.array([float(word) for word in words], np.float32)
        except ValueError as error:
            raise DataFileError(
                f"{where}, line {number}",
                expected="numbers separated by commas or blanks",
                got=str(error),
                fix="remove headings and text columns",
            ) from None
