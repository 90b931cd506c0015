"""What a network says, and how well: probabilities, accuracy, local readouts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import msgspec
import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.engine import Buffers, forward
from edgelearn.errors import Diverged
from edgelearn.network import Network

BATCH = 256


class LayerReport(msgspec.Struct, frozen=True):
    """One layer: `accuracy` is that of its own readout, None where it has none."""

    name: str
    kind: str
    params: int
    accuracy: float | None


class Evaluation(msgspec.Struct, frozen=True):
    """How well a network does: `confusion[true][predicted]` counts samples."""

    accuracy: float
    loss: float
    samples: int
    confusion: list[list[int]]
    layers: list[LayerReport]


def predict(network: Network, x: Array) -> F32:
    """Class probabilities, shape (samples, classes), of samples that are not normalised."""
    network.check_input(x)
    batch = min(BATCH, max(len(x), 1))
    buffers = Buffers(network, batch)
    result = np.empty((len(x), len(network.classes)), np.float32)
    for rows in _batches(len(x), batch):
        ready, _ = buffers.load(x, np.zeros(len(x), np.int8), rows)
        result[rows] = forward(ready, buffers)
    return result


@np.errstate(over="ignore", invalid="ignore")  # what is not finite becomes one message
def evaluate(network: Network, x: Array, y: Array) -> Evaluation:
    """Accuracy, mean cross-entropy, confusion and the accuracy of every layer's readout.

    Raises
    ------
    Diverged
        If the probabilities are not finite.
    """
    network.check_input(x)
    classes = len(network.classes)
    buffers = Buffers(network, BATCH)
    confusion = np.zeros((classes, classes), np.int64)
    hits = np.zeros(len(network.blocks))
    loss = 0.0
    for rows in _batches(len(x), BATCH):
        ready, labels = buffers.load(x, y, rows)
        for index, block in enumerate(network.blocks):
            a = buffers.forward(index, buffers.source(index, ready)).a
            if block.readout is not None:
                features = buffers.room(index, len(a)).space.features
                guesses = block.scores(a, features).argmax(axis=1)
                hits[index] += (guesses == labels).sum()
        loss -= float(np.log(np.maximum(a[np.arange(len(a)), labels], 1e-37)).sum())
        np.add.at(confusion, (labels, guesses), 1)
    if not math.isfinite(loss):
        raise Diverged(
            f"model {network.name!r}",
            expected="finite probabilities",
            got=f"a loss of {loss}",
            fix="look at the scale of the data, or train with a lower train.lr",
        )
    return Evaluation(
        accuracy=float(np.trace(confusion)) / len(x),
        loss=loss / len(x),
        samples=len(x),
        confusion=confusion.tolist(),
        layers=[
            LayerReport(
                b.name,
                b.layer.kind,
                sum(p.size for p in b.params.values()),
                None if b.readout is None else float(h),
            )
            for b, h in zip(network.blocks, hits / len(x), strict=True)
        ],
    )


def judge(
    buffers: Buffers, x: Array, y: Array, rows: Array, indices: Collection[int]
) -> dict[int, tuple[float, float]]:
    """Mean local loss and accuracy of blocks on these `rows`, in the buffers of training.

    Parameters
    ----------
    buffers : Buffers
    x, y : array
        As `predict` takes them, and their labels.
    rows : int64 array
    indices : collection of int
        Which blocks; those beyond the last of them are not run.
    """
    sums = {index: np.zeros(2) for index in indices}
    for part in _batches(len(rows), buffers.batch):
        ready, labels = buffers.load(x, y, rows[part])
        for index in range(max(indices) + 1):
            buffers.forward(index, buffers.source(index, ready))
            if index in sums:
                buffers.loss[:] = 0
                buffers.judge(index, labels)
                sums[index] += buffers.loss
    means = {index: total / len(rows) for index, total in sums.items()}
    return {index: (float(loss), float(right)) for index, (loss, right) in means.items()}


def _batches(count: int, batch: int) -> Iterator[Array]:
    for start in range(0, count, batch):
        yield np.arange(start, min(start + batch, count))
