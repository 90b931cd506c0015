"""The parts of `edgelearn predict`: samples in, classes or values out, without Numba."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgelearn.arrays import F32, Array, Shape, as_f32, check_finite
from edgelearn.errors import (
    DataFileError,
    DataShapeError,
    DataValueError,
    ModelFileError,
    UnknownName,
)
from edgelearn.files import require_file
from edgelearn.ir import BATCH, Graph, run, store
from edgelearn.ir.store import Bundle

STDIN = Path("-")
WORDS = {"probabilities": "probability", "scores": "score", "values": None}
"""What a model says of a class, by the name of its output."""


class Answering(Protocol):
    """What a model says of one sample, and what else is to be told."""

    def __call__(self, sample: F32) -> tuple[F32, dict[str, str | float]]:
        """For a sample (*in_shape), not normalised."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A model, run by the interpreter one sample at a time.

    `names` are those of classes or outputs; `word` is what it says of a class, its probability or
    its score, and None for a regression.
    """

    answer: Answering
    names: list[str]
    in_shape: Shape
    word: str | None

    def __call__(self, sample: F32, where: str) -> dict[str, str | float]:
        """The likeliest class of one sample, or its values; `where` is named in errors."""
        with np.errstate(all="ignore"):  # what is not finite becomes one message below
            said, more = self.answer(sample)
        if not np.isfinite(said).all():
            raise DataValueError(
                where,
                expected="values of the size that the model was trained on",
                got="answers that are not finite",
                fix="check the units of the data, and the model with 'edgelearn eval'",
            )
        if self.word is None:
            return {name: float(v) for name, v in zip(self.names, said, strict=True)} | more
        best = int(said.argmax())
        return {"class": self.names[best], self.word: float(said[best]), **more}


def predictor(path: Path, exit_at: float | None = None) -> Predictor:
    """What predicts by the model file at `path`, and may answer early."""
    bundle = store.read(path)
    graph = bundle.graphs.get("infer")
    names = bundle.meta.get("classes") or bundle.meta.get("outputs")
    if graph is None or not isinstance(names, list) or not _predicts(graph, len(names)):
        raise ModelFileError(
            f"model {str(path)!r}",
            expected="a classifier or a regression that 'edgelearn train' wrote",
            got="a model of another kind",
            fix="name another --model",
        )
    answer = _whole(graph) if exit_at is None else _early(bundle, path, exit_at)
    in_shape = graph.specs[graph.inputs[0]].shape[1:]
    return Predictor(answer, [str(c) for c in names], in_shape, WORDS[graph.outputs[0]])


def _whole(graph: Graph) -> Answering:
    def answer(sample: F32) -> tuple[F32, dict[str, str | float]]:
        outputs = run(graph, {graph.inputs[0]: sample[None]}).outputs
        return outputs[graph.outputs[0]][0], {}

    return answer


def _early(bundle: Bundle, path: Path, exit_at: float) -> Answering:
    from edgelearn.exits import EarlyExits
    from edgelearn.modelfile import from_bundle

    exits = EarlyExits(from_bundle(bundle, f"model {str(path)!r}").network, exit_at)

    def answer(sample: F32) -> tuple[F32, dict[str, str | float]]:
        found = exits.answer(sample)
        return found.probabilities, {"layer": found.layer}

    return answer


def _predicts(graph: Graph, width: int) -> bool:
    inputs = [graph.specs[name] for name in graph.inputs]
    outputs = [graph.specs[name] for name in graph.outputs]
    fed = len(inputs) == 1 and inputs[0].dtype == "float32" and inputs[0].shape[:1] == (BATCH,)
    known = len(outputs) == 1 and graph.outputs[0] in WORDS
    return fed and known and outputs[0].shape == (BATCH, width)


def guesses(predict: Predictor, files: Sequence[Path]) -> Iterator[dict[str, str | float]]:
    """What is predicted for every sample of the files, as they come."""
    for path in files:
        if path != STDIN:
            require_file(path, "data", "check the path")
            _reader(path)
    for path in files:
        name = "stdin" if path == STDIN else str(path)
        source = _lines(sys.stdin, name) if path == STDIN else _reader(path)(path)
        number = 0
        for number, sample in enumerate(source, start=1):
            where = f"{name}, sample {number}"
            yield predict(_fitting(sample, predict.in_shape, where), where)
        if not number:
            raise DataShapeError(
                name, expected="one sample at least", got="none", fix="name a file that holds data"
            )


def _fitting(sample: Array, shape: Shape, where: str) -> F32:
    if sample.size != math.prod(shape):
        raise DataShapeError(
            where,
            expected=f"{math.prod(shape)} numbers (shape {list(shape)})",
            got=f"{sample.size}",
            fix="give the features that the model was trained on, without the label",
        )
    check_finite(sample.ravel(), where, ("feature", ""))
    return as_f32(sample).reshape(shape)


def _reader(path: Path) -> Callable[[Path], Iterator[Array]]:
    """What reads a file of that name."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _npy
    if suffix in (".csv", ".tsv", ".txt"):
        return _text
    raise UnknownName(
        f"data {str(path)!r}",
        expected="a .npy, .csv, .tsv or .txt file",
        got=f"a file ending in {path.suffix!r}",
        fix="save the samples as one of these",
    )


def _npy(path: Path) -> Iterator[Array]:
    where = f"data {str(path)!r}"
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("another kind of file")
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise DataFileError(
            where,
            expected="a whole .npy array, one sample a row",
            got=(str(error) or type(error).__name__).splitlines()[0],
            fix="write it again with numpy.save",
        ) from None
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise DataShapeError(
            where,
            expected="an array of numbers, one sample a row",
            got=f"{array.dtype}{list(array.shape)}",
            fix="reshape it to (samples, features)",
        )
    yield from array


def _text(path: Path) -> Iterator[Array]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from _lines(lines, str(path))


def _lines(lines: Iterable[str], where: str) -> Iterator[Array]:
    for number, line in enumerate(lines, start=1):
        words = _words(line)
        if words:
            numbers = [_number(w, f"{where}, line {number}, column {c + 1}") for c, w in words]
            yield np.array(numbers)


def _words(line: str) -> list[tuple[int, str]]:
    """The fields of a line with their places; between separators an empty one counts too."""
    text = line.strip(" \r\n\f\v\ufeff")
    fields = re.split(r"[,;\t]", text) if re.search(r"[,;\t]", text) else text.split()
    if fields and not fields[-1].strip():
        fields.pop()  # a separator at the end of a line is a habit, no missing value
    return list(enumerate(field.strip() for field in fields))


def _number(word: str, where: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise DataFileError(
            where,
            expected="a number",
            got=repr(word[:40]) if word else "nothing",
            fix="remove headings and text columns, and samples with missing values",
        ) from None
