"""Training: stages and epochs, stopping between two steps and going on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import Array
from edgelearn.buffers import Buffers
from edgelearn.caching import Cache, cache_bytes
from edgelearn.config import TrainConfig
from edgelearn.controls import Control
from edgelearn.engine import train_step
from edgelearn.errors import Diverged
from edgelearn.evaluation import judge
from edgelearn.holdout import split
from edgelearn.network import Network
from edgelearn.noise import Noise
from edgelearn.progress import EpochReport, Observer, Position, Progress, Standing
from edgelearn.rates import require_room
from edgelearn.rng import Stream, permutation
from edgelearn.stages import learning_rate, span, stages
from edgelearn.stopping import Best


@np.errstate(over="ignore", invalid="ignore")  # what is not finite becomes one message
def fit(
    network: Network,
    x: Array,
    y: Array,
    config: TrainConfig,
    *,
    start: Standing | None = None,
    observer: Observer | None = None,
) -> Standing | None:
    """Train `network` in place.

    Parameters
    ----------
    network : Network
        Its parameters change in place.
    x : array, shape (samples, *in_shape)
        Not normalised, any number type.
    y : int64 array, shape (samples,), or float32, shape (samples, outputs)
    config : TrainConfig
    start : Standing, optional
        Go on from here; the result is the same to the bit as without the stop.
    observer : Observer, optional
        Who is told, and may stop the run between two steps.

    Returns
    -------
    Standing or None
        Where it stopped, or None when it is done.

    Raises
    ------
    ConfigError
        If the phases of the learning rate are longer than a stage.
    Diverged
        If a local loss or a parameter is not finite.
    """
    network.check_input(x)
    network.check_batch(config.batch)
    run = _Run(network, x, y, config, observer or Observer())
    start = start or Standing()
    for stage in range(start.progress.stage, len(run.plan)):
        stopped = run.stage(stage, start)
        if stopped is not None:
            return stopped
        start = Standing()
    for name, value in network.stored().items():
        if not np.isfinite(value).all():
            raise _diverged(f"parameter {name!r}", "NaN or infinity")
    return None


class _Run:
    """The steps of a run; each follows from the configuration and its position alone."""

    def __init__(
        self, network: Network, x: Array, y: Array, config: TrainConfig, observer: Observer
    ) -> None:
        self.network, self.x, self.y = network, x, y
        self.config, self.observer = config, observer
        self.span = span(config, len(x))
        require_room(config.lr_schedule, self.span)
        self.rows, self.held = split(y, config.validation, config.seed)
        self.plan = stages(network, config)
        self.control = None
        if config.method not in ("tpsgd", "shallow"):
            self.control = Control(network, config.method, config.batch, config.seed)
        self.buffers = self.control.buffers if self.control else Buffers(network, config.batch)
        self.loss = 0.0

    def stage(self, stage: int, start: Standing) -> Standing | None:
        """All epochs of a stage from `start` on; where it was stopped, or None."""
        learning, progress = self.plan[stage], start.progress
        best = Best(self.network.changing(learning), self.config.patience)
        best.resume(progress.best, progress.stale, start.best)
        self._count(learning, progress)
        cache = self._cache(learning)
        first = progress.step
        for epoch in range(progress.epoch, self.config.epochs):
            if best.exhausted:
                break
            order = permutation(self.config.seed, Stream.SHUFFLE, epoch, len(self.rows))
            for step in range(first, self.span.epoch_steps):
                position = Position(stage, epoch, step)
                if self.observer.should_stop():
                    return self._standing(position, best)
                self._step(position, order, cache)
            self._end_epoch(stage, epoch, best)
            self._count(learning, Progress())
            first = 0
        best.restore()
        return None

    def _count(self, learning: Sequence[int], progress: Progress) -> None:
        """Begin to count an epoch, or go on with one."""
        self.loss = progress.loss
        self.buffers.right = [0] * len(self.network.blocks)
        for index, right in zip(learning, progress.right, strict=False):
            self.buffers.right[index] = right

    def _cache(self, learning: Sequence[int]) -> Cache | None:
        """What the learning layer reads, if that fits."""
        needed = cache_bytes(self.network, learning, len(self.rows))
        if not 0 < needed <= self.config.cache_bytes or len(self.rows) < self.config.batch:
            return None
        return Cache(self.buffers, learning[0], self.x, self.y, self.rows)

    def _step(self, position: Position, order: NDArray[np.int64], cache: Cache | None) -> None:
        batch, step = self.config.batch, position.step
        places = order[step * batch : (step + 1) * batch]
        rows = self.rows[places]
        number = position.epoch * self.span.epoch_steps + step
        lr = learning_rate(self.config, number, self.span)
        self.buffers.step = position.stage * self.span.steps + number
        if self.config.gradient_noise:
            self.buffers.noise = Noise(self.config.gradient_noise, self.config.seed, number)
        if cache and len(rows) == batch:
            loss = cache.learn(places, self.buffers.labels(self.y, rows), lr)
        elif self.control:
            loss = self.control.step(*self.buffers.load(self.x, self.y, rows), lr)
        else:
            samples = self.buffers.load(self.x, self.y, rows)
            loss = train_step(self.buffers, *samples, lr, self.plan[position.stage])
        self._require_finite(loss, position)
        self.loss += loss
        self.observer.on_step(position, loss)

    def _end_epoch(self, stage: int, epoch: int, best: Best) -> None:
        """Judge by the held-out samples, and tell of the epoch."""
        learning, held_out, held_out_loss = self.plan[stage], {}, None
        if len(self.held):
            judged = learning[-1:] if self.control else learning
            found = judge(self.buffers, self.x, self.y, self.held, judged)
            last = max(learning)
            held_out_loss, accuracy = found[last]
            self._require_finite(held_out_loss, Position(stage, epoch, self.span.epoch_steps - 1))
            by_loss = len(learning) == 1 or not self._guessing([last])
            best.tell(-held_out_loss if by_loss else accuracy)
            told = self._guessing(judged)
            held_out = {self.network.blocks[i].name: found[i][1] for i in told}
        report = EpochReport(
            stage=stage + 1,
            stages=len(self.plan),
            layer=self._name(stage),
            epoch=epoch + 1,
            epochs=self.config.epochs,
            last=epoch + 1 == self.config.epochs or best.exhausted,
            loss=self.loss / self.span.epoch_steps,
            accuracies=self._accuracies(learning),
            held_out_loss=held_out_loss,
            held_out=held_out,
        )
        self.observer.on_epoch(report)

    def _accuracies(self, learning: Sequence[int]) -> dict[str, float]:
        """Right guesses of this epoch; controls do not ask local readouts."""
        if self.control:
            return {}
        right, count = self.buffers.right, len(self.rows)
        told = self._guessing(learning)
        return {self.network.blocks[i].name: right[i] / count for i in told}

    def _guessing(self, indices: Sequence[int]) -> list[int]:
        """Those of these blocks whose readout guesses classes."""
        readouts = {index: self.network.blocks[index].readout for index in indices}
        return [index for index, readout in readouts.items() if readout and readout.guesses]

    def _standing(self, position: Position, best: Best) -> Standing:
        right = tuple(self.buffers.right[index] for index in self.plan[position.stage])
        progress = Progress(
            position.stage,
            position.epoch,
            position.step,
            loss=self.loss,
            right=right,
            best=best.score,
            stale=best.stale,
        )
        return Standing(progress, best.copies)

    def _name(self, stage: int) -> str:
        return self.network.blocks[max(self.plan[stage])].name

    def _require_finite(self, loss: float, position: Position) -> None:
        if not math.isfinite(loss):
            at = f"epoch {position.epoch + 1}, step {position.step + 1}"
            where = f"layer {self._name(position.stage)!r}, {at}"
            raise _diverged(where, f"a local loss of {loss}")


def _diverged(where: str, got: str) -> Diverged:
    return Diverged(
        where,
        expected="finite numbers",
        got=got,
        fix="lower train.lr, or normalise the input",
    )
