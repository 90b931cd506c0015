"""What a network says, and how well: answers, accuracy, local readouts."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
    """What is said of each class, shape (samples, classes), of samples not normalised.

    Probabilities, or the scores of a linear head: see `Network.answers`.
    """
    network.check_input(x)
    batch = min(BATCH, max(len(x), 1))
    buffers = Buffers(network, batch)
    result = np.empty((len(x), len(network.classes)), np.float32)
    for rows in _batches(len(x), batch):
        ready, _ = buffers.load(x, np.zeros(len(x), np.int8), rows)
        result[rows] = forward(network, ready, buffers)
    return result


@np.errstate(over="ignore", invalid="ignore")  # what is not finite becomes one message
def evaluate(network: Network, x: Array, y: Array) -> Evaluation:
    """Accuracy, mean loss of the head, confusion and the accuracy of every layer's readout.

    Raises
    ------
    Diverged
        If what the head says is not finite.
    """
    network.check_input(x)
    classes = len(network.classes)
    buffers = Buffers(network, BATCH)
    confusion = np.zeros((classes, classes), np.int64)
    hits = np.zeros(len(network.blocks))
    loss = 0.0
    for rows in _batches(len(x), BATCH):
        a, labels = buffers.load(x, y, rows)
        for index, block in enumerate(network.blocks):
            a = buffers.forward(index, a).a
            if block.readout is not None and block.readout.has_scores:
                features = buffers.room(index, len(a)).space.features
                guesses = block.scores(a, features).argmax(axis=1)
                hits[index] += (guesses == labels).sum()
        buffers.loss[0] = 0
        network.head.error(a, labels, buffers.room(index, len(a)).space)
        loss += float(buffers.loss[0])
        np.add.at(confusion, (labels, guesses), 1)
    if not math.isfinite(loss):
        raise Diverged(
            f"model {network.name!r}",
            expected=f"finite {network.answers}",
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
                float(h) if b.readout is not None and b.readout.has_scores else None,
            )
            for b, h in zip(network.blocks, hits / len(x), strict=True)
        ],
    )


def _batches(count: int, batch: int) -> Iterator[Array]:
    for start in range(0, count, batch):
        yield np.arange(start, min(start + batch, count))
