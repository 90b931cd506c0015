"""Time of one training step, beside backpropagation: ours, and PyTorch's.

All in one process on one thread, warm, by turns, so that a machine whose speed drifts moves all
figures together.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgelearn import engine
from edgelearn.arrays import F32
from edgelearn.bench.accuracy import contestants
from edgelearn.bench.peer import TorchPeer
from edgelearn.buffers import Buffers
from edgelearn.config import Recipe
from edgelearn.controls import Control
from edgelearn.datasets import Dataset
from edgelearn.network import Network
from edgelearn.workflow import new_model, one_thread

ROUNDS = 15
ROUND_S = 0.04
LR = 1e-4
Step: TypeAlias = Callable[[], object]


class SpeedRow(msgspec.Struct, frozen=True):
    """Seconds a step of one way of training at one batch size: median, least, most of all rounds.

    `times_first` is the median over rounds of its time as a multiple of the first row's, tpSGD as
    the recipe says.
    """

    name: str
    batch: int
    seconds: float
    least: float
    most: float
    times_first: float


def rows(recipe: Recipe, dataset: Dataset, batches: Sequence[int]) -> Iterator[SpeedRow]:
    """A row for each way of training and batch size, on real samples."""
    for batch in batches:
        with one_thread():
            steps = _steps(recipe, dataset, batch)
            taken = _rounds(steps)
        own = next(iter(taken.values()))
        for name, times in taken.items():
            yield SpeedRow(
                name=name,
                batch=batch,
                seconds=statistics.median(times),
                least=min(times),
                most=max(times),
                times_first=statistics.median(t / o for t, o in zip(times, own, strict=True)),
            )


def _steps(recipe: Recipe, dataset: Dataset, batch: int) -> dict[str, Step]:
    """One step of each peer, all layers at once, on the same samples."""
    chosen = np.arange(batch) % len(dataset.x_train)
    steps: dict[str, Step] = {}
    for name, own in contestants(recipe).items():
        if own.train.method == "tpsgd":
            steps[name] = _local(new_model(own, dataset).network, dataset, chosen)
    network = new_model(recipe, dataset).network
    control = Control(network, "bp", batch, recipe.train.seed)
    x, y = control.buffers.load(dataset.x_train, dataset.y_train, chosen)
    steps["backprop, ours"] = lambda: control.step(x, y, LR)
    peer = TorchPeer.of(network, recipe)
    if peer is not None:
        steps["backprop, PyTorch"] = _torch(peer, x.copy(), y.copy())
    return steps


def _local(network: Network, dataset: Dataset, chosen: NDArray[np.int64]) -> Step:
    buffers, learning = Buffers(network, len(chosen)), network.learning()
    x, y = buffers.load(dataset.x_train, dataset.y_train, chosen)
    return lambda: engine.train_step(buffers, x, y, LR, learning)


def _torch(peer: TorchPeer, x: F32, y: NDArray[np.int64]) -> Step:
    return lambda: peer.step(x, y)


def _rounds(steps: dict[str, Step]) -> dict[str, list[float]]:
    """Seconds a step of each round."""
    for step in steps.values():
        _timed(step, 3)  # warm: kernels are compiled or read now
    counts = {name: max(1, round(ROUND_S / _timed(step, 3))) for name, step in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            taken[name].append(_timed(step, counts[name]))
    return taken


def _timed(step: Step, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count
