"""A model in integers of 8 bits: calibrated on its training data, judged on its test data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from edgelearn.arrays import Array, as_f32
from edgelearn.datasets import Dataset
from edgelearn.errors import BelowThreshold, DataShapeError
from edgelearn.ir import Graph, Runner
from edgelearn.ir.store import Bundle
from edgelearn.passes.calibrate import Method, Steps, calibrate
from edgelearn.passes.floats import Kept, kept_float
from edgelearn.passes.quantize import activations, quantize_full, quantize_weights
from edgelearn.rng import Stream, permutation

Mode: TypeAlias = Literal["weights", "full"]
BATCH = 256


@dataclass(frozen=True, slots=True)
class QuantConfig:
    """How a model is quantised.

    Attributes
    ----------
    mode : {"weights", "full"}
        Weights only, or activations too where they meet weights.
    calibration : {"min-max", "percentile", "mse"}
        See `edgelearn.passes.calibrate.calibrate`; weights need none.
    samples : int
        Training samples to calibrate with.
    max_drop : float
        The largest loss: points of accuracy, or per cent of a regression's error.
    """

    mode: Mode = "full"
    calibration: Method = "min-max"
    samples: int = 256
    max_drop: float = 1.0


@dataclass(frozen=True, slots=True)
class QuantReport:
    """What quantising did to a model.

    Attributes
    ----------
    mode : str
    calibration : str or None
    samples : int
        With which it was calibrated; 0 for weights only.
    mark : {"accuracy", "rmse"}
        What `before` and `after` are, on `tested` samples of the test part.
    before, after : float
    drop : float
        Points of accuracy lost, or per cent by which the error grew.
    tested : int
    macs, integer_macs : int
        Of one sample or time step; those of integers alone.
    kept_float : list of Kept
        What still computes with numbers, and why.
    """

    mode: Mode
    calibration: Method | None
    samples: int
    mark: Literal["accuracy", "rmse"]
    before: float
    after: float
    drop: float
    tested: int
    macs: int
    integer_macs: int
    kept_float: list[Kept]

    def require(self, where: str, max_drop: float) -> None:
        """Raise `BelowThreshold` if more than `max_drop` was lost."""
        if self.drop <= max_drop:
            return
        raise BelowThreshold(
            where,
            expected=f"at most {max_drop:g} {'points' if self.mark == 'accuracy' else 'per cent'}"
            " lost by integers of 8 bits",
            got=f"{self.drop:.2f}: {self.mark} {self.before:.4g} before, {self.after:.4g} after",
            fix="try another --calibration, or --int8 weights; or allow it with --max-drop",
        )


def quantize(
    bundle: Bundle, phase: str, dataset: Dataset, config: QuantConfig, where: str
) -> tuple[Bundle, QuantReport]:
    """`bundle` with the Graph of `phase` in integers, and what that did to it.

    Parameters
    ----------
    bundle : Bundle
    phase : str
        ``infer``, or ``stream``: samples are fed one time step after the other then.
    dataset : Dataset
        Its training part calibrates, its test part judges.
    config : QuantConfig
    where : str
        Names the model in errors.

    Raises
    ------
    GraphError
        If it is a training step.
    DataShapeError
        If the samples are of another shape than the model's.
    """
    graph = bundle.graphs[phase]
    _require_samples(graph, phase, dataset, where)
    method, chosen = None, 0
    if config.mode == "full":
        rows = permutation(0, Stream.GOLDEN, 1, len(dataset.x_train))[: config.samples]
        method, chosen = config.calibration, len(rows)
        sequences = list(_sequences(graph, phase, dataset.x_train[rows]))
        found = quantize_full(graph, calibrate(graph, activations(graph), sequences, method))
    else:
        found = quantize_weights(graph)
    marks = [_mark(g, phase, dataset) for g in (graph, found)]
    mark: Literal["accuracy", "rmse"] = "rmse" if dataset.outputs else "accuracy"
    bound, kept = found.bind(1), kept_float(found)
    floats = {name for group in kept for name in group.nodes}
    macs = {node.output: bound.macs(node) for node in bound.nodes}
    report = QuantReport(
        mode=config.mode,
        calibration=method,
        samples=chosen,
        mark=mark,
        before=marks[0],
        after=marks[1],
        drop=_drop(mark, *marks),
        tested=len(dataset.x_test),
        macs=sum(macs.values()),
        integer_macs=sum(count for name, count in macs.items() if name not in floats),
        kept_float=kept,
    )
    return replace(bundle, graphs={**bundle.graphs, phase: found}), report


def _drop(mark: str, before: float, after: float) -> float:
    if mark == "accuracy":
        return 100 * (before - after)
    return 100 * (after / before - 1) if before else 100 * float(after > 0)


def _require_samples(graph: Graph, phase: str, dataset: Dataset, where: str) -> None:
    wanted, got = graph.specs[graph.inputs[0]].shape[1:], dataset.x_train.shape[1:]
    if (got[1:] if phase == "stream" else got) != wanted:
        raise DataShapeError(
            where,
            expected=f"samples of shape {list(wanted)}",
            got=f"data {dataset.name!r} with samples of shape {list(got)}",
            fix="quantise with data like that of training",
        )


def _sequences(graph: Graph, phase: str, x: Array) -> Iterator[Steps]:
    """`x` in batches, each fed at once, or one time step after the other."""
    (name,) = graph.inputs
    for start in range(0, len(x), BATCH):
        part = as_f32(x[start : start + BATCH])
        times = range(part.shape[1]) if phase == "stream" else [slice(None)]
        yield [{name: np.ascontiguousarray(part[:, t])} for t in times]


def _mark(graph: Graph, phase: str, dataset: Dataset) -> float:
    """Accuracy, or root mean squared error, of `graph` on the test part."""
    runner, said = Runner(graph), []
    for steps in _sequences(graph, phase, dataset.x_test):
        states: Mapping[str, Array] = {}
        for feeds in steps:
            result = runner.run(feeds, states)
            states = result.states
        said.append(result.outputs[graph.outputs[0]])
    answers = np.concatenate(said)
    if dataset.outputs:
        gap = answers.astype(np.float64) - dataset.y_test
        return float(np.sqrt((gap * gap).mean(axis=0)).mean())
    return float((answers.argmax(axis=1) == dataset.y_test).mean())
