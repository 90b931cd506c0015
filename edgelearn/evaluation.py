"""What a network says, and how well: answers, accuracy or errors, local readouts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.block import Block
from edgelearn.buffers import Buffers
from edgelearn.engine import forward
from edgelearn.errors import Diverged
from edgelearn.network import Network
from edgelearn.normalize import Outputs
from edgelearn.results import Evaluation, Fit, FitReport, LayerReport, OutputReport, Result

BATCH = 256


def predict(network: Network, x: Array) -> F32:
    """What is said of each class, shape (samples, classes), of samples not normalised.

    Probabilities, or the scores of a linear head: see `Network.answers`. Of a regression the values
    (samples, outputs), in the units of the training data.
    """
    network.check_input(x)
    batch = min(BATCH, max(len(x), 1))
    buffers = Buffers(network, batch)
    result = np.empty((len(x), network.width), np.float32)
    for rows in _batches(len(x), batch):
        result[rows] = forward(buffers.samples(x, rows), buffers)
    return result if network.outputs is None else network.outputs.restored(result)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite becomes one message
def evaluate(network: Network, x: Array, y: Array) -> Result:
    """How well `network` does on samples `x`, not normalised, with labels or values `y`.

    Raises
    ------
    Diverged
        If what the head says is not finite.
    """
    network.check_input(x)
    outputs = network.outputs
    return _classified(network, x, y) if outputs is None else _fitted(network, outputs, x, y)


def _classified(network: Network, x: Array, y: Array) -> Evaluation:
    buffers = Buffers(network, BATCH)
    confusion = np.zeros((network.width, network.width), np.int64)
    hits = np.zeros(len(network.blocks))
    loss = 0.0
    for rows in _batches(len(x), BATCH):
        said, labels, part = _said(buffers, x, y, rows)
        for index, scores in enumerate(said):
            if scores is not None:
                guesses = scores.argmax(axis=1)
                hits[index] += (guesses == labels).sum()
        np.add.at(confusion, (labels, guesses), 1)  # of the last layer, which always has scores
        loss += part
    return Evaluation(
        accuracy=float(np.trace(confusion)) / len(x),
        loss=_finite(network, loss) / len(x),
        samples=len(x),
        confusion=confusion.tolist(),
        layers=[
            LayerReport(*_named(b), float(h) / len(x) if _has_scores(b) else None)
            for b, h in zip(network.blocks, hits, strict=True)
        ],
    )


def _fitted(network: Network, outputs: Outputs, x: Array, y: Array) -> Fit:
    buffers = Buffers(network, BATCH)
    squares = np.zeros((len(network.blocks), network.width))
    gaps = np.zeros(network.width)
    loss = 0.0
    for rows in _batches(len(x), BATCH):
        said, labels, part = _said(buffers, x, y, rows)
        for index, scores in enumerate(said):
            if scores is not None:
                gap = scores.astype(np.float64) - labels
                squares[index] += (gap * gap).sum(axis=0)
        gaps += np.abs(gap).sum(axis=0)  # of the last layer, which always has scores
        loss += part
    loss = _finite(network, loss) / len(x)
    spread = outputs.spread.astype(np.float64)
    total = ((y - y.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=0) / spread**2
    rmse, mae = np.sqrt(squares[-1] / len(x)) * spread, gaps / len(x) * spread
    return Fit(
        rmse=float(rmse.mean()),
        mae=float(mae.mean()),
        r2=_r2(squares[-1], total),
        loss=loss,
        samples=len(x),
        outputs=[
            OutputReport(name, float(rmse[c]), float(mae[c]), _r2(squares[-1, [c]], total[[c]]))
            for c, name in enumerate(outputs.names)
        ],
        layers=[
            FitReport(*_named(b), _r2(s, total) if _has_scores(b) else None)
            for b, s in zip(network.blocks, squares, strict=True)
        ],
    )


def _r2(squares: Array, total: Array) -> float | None:
    """The share of the variance that is explained, a mean over outputs."""
    return float((1 - squares / total).mean()) if (total > 0).all() else None


def _said(
    buffers: Buffers, x: Array, y: Array, rows: Array
) -> tuple[list[Array | None], Array, float]:
    """What each block says of these samples, None without scores; their labels, summed loss."""
    ready, labels = buffers.load(x, y, rows)
    said: list[Array | None] = []
    for index, block in enumerate(buffers.network.blocks):
        a = buffers.forward(index, buffers.source(index, ready)).a
        space = buffers.room(index, len(a)).space
        said.append(block.scores(a, space.features) if _has_scores(block) else None)
    buffers.loss[0] = 0
    buffers.network.head.error(a, labels, space)
    return said, labels, float(buffers.loss[0])


def _has_scores(block: Block) -> bool:
    return block.readout is not None and block.readout.has_scores


def _named(block: Block) -> tuple[str, str, int]:
    """Name, kind and number of parameters."""
    return block.name, block.layer.kind, sum(p.size for p in block.params.values())


def _finite(network: Network, loss: float) -> float:
    if not math.isfinite(loss):
        raise Diverged(
            f"model {network.name!r}",
            expected=f"finite {network.answers}",
            got=f"a loss of {loss}",
            fix="look at the scale of the data, or train with a lower train.lr",
        )
    return loss


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
