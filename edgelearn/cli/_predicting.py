"""The parts of `edgelearn predict`: samples in, classes or values out, without Numba."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgelearn.arrays import F32, Array, Shape, as_f32, check_finite
from edgelearn.cli._samples import lines_of, reader
from edgelearn.errors import DataShapeError, DataValueError, ModelFileError
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
    its score, and None for a regression. `masked`: the last channel of a sample is its mask.
    """

    answer: Answering
    names: list[str]
    in_shape: Shape
    word: str | None
    masked: bool

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
    word = WORDS[graph.outputs[0]]
    return Predictor(answer, [str(c) for c in names], in_shape, word, _is_masked(bundle))


def _is_masked(bundle: Bundle) -> bool:
    """Whether the layers of the recipe read masks."""
    layers = bundle.meta.get("recipe", {}).get("layers", [])
    return any(layer.get("masked", False) for layer in layers)


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
            reader(path)
    for path in files:
        name = "stdin" if path == STDIN else str(path)
        source = lines_of(sys.stdin, name) if path == STDIN else reader(path)(path)
        number = 0
        for number, sample in enumerate(source, start=1):
            where = f"{name}, sample {number}"
            yield predict(_fitting(sample, predict, where), where)
        if not number:
            raise DataShapeError(
                name, expected="one sample at least", got="none", fix="name a file that holds data"
            )


def _fitting(sample: Array, predict: Predictor, where: str) -> F32:
    shape = predict.in_shape
    if sample.size != math.prod(shape):
        fix = "give the features that the model was trained on, without the label"
        if predict.masked:
            steps, channels = shape
            fix = (
                f"give {steps} steps of {channels - 1} features, each with its mask after them: 1 "
                "in real steps, 0 (and features 0) in padding at the end; or an .npz archive of x "
                "(samples, steps, features) and lengths, to which the mask is added"
            )
        raise DataShapeError(
            where,
            expected=f"{math.prod(shape)} numbers (shape {list(shape)})",
            got=f"{sample.size}",
            fix=fix,
        )
    check_finite(sample.ravel(), where, ("feature", ""))
    return as_f32(sample).reshape(shape)
