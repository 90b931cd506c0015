"""Training: schedules, epochs, where one is, and stopping between two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import Array
from edgelearn.config import TrainConfig
from edgelearn.controls import Control
from edgelearn.engine import Buffers, train_step
from edgelearn.errors import Diverged
from edgelearn.network import Network
from edgelearn.rng import Stream, permutation

Count = Annotated[int, msgspec.Meta(ge=0)]


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far training has come: the next step to make.

    With the layer-wise schedule a stage is a layer; simultaneous training is one stage.
    """

    stage: Count = 0
    epoch: Count = 0
    step: Count = 0


class EpochReport(msgspec.Struct, frozen=True):
    """One epoch that is done: counted from 1, with the mean loss of the last learning layer."""

    stage: int
    stages: int
    layer: str
    epoch: int
    epochs: int
    loss: float


@dataclass(frozen=True, slots=True, eq=False)
class Observer:
    """Who is told of a run, and who may stop it between two steps.

    `on_step` is told the position and the mean loss of every step, `on_epoch` of every epoch;
    `should_stop` is asked before every step.
    """

    on_step: Callable[[Position, float], None] = lambda _position, _loss: None
    on_epoch: Callable[[EpochReport], None] = lambda _report: None
    should_stop: Callable[[], bool] = lambda: False


def stages(network: Network, config: TrainConfig) -> list[Sequence[int]]:
    """Which blocks learn in each stage."""
    every = network.learning()
    if config.method == "shallow":
        return [every[-1:]]
    layerwise = config.method == "tpsgd" and config.schedule == "layerwise"
    return [[index] for index in every] if layerwise else [every]


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The learning rate of one step out of `steps` of a stage.

    >>> learning_rate(TrainConfig(lr=1.0, lr_schedule="cosine"), 5, 10)
    0.5
    """
    if config.lr_schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * step / steps))


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One step to make: which samples, which blocks learn, how fast."""

    position: Position
    rows: NDArray[np.int64]
    learning: Sequence[int]
    lr: float
    ends_epoch: bool


def _steps(network: Network, samples: int, config: TrainConfig, start: Position) -> Iterator[_Step]:
    """Every step from `start` on; each follows from the configuration and its position alone."""
    per_epoch = math.ceil(samples / config.batch)
    total = config.epochs * per_epoch
    plan = stages(network, config)
    for stage in range(start.stage, len(plan)):
        for epoch in range(start.epoch, config.epochs):
            order = permutation(config.seed, Stream.SHUFFLE, epoch, samples)
            for step in range(start.step, per_epoch):
                yield _Step(
                    position=Position(stage, epoch, step),
                    rows=order[step * config.batch : (step + 1) * config.batch],
                    learning=plan[stage],
                    lr=learning_rate(config, epoch * per_epoch + step, total),
                    ends_epoch=step == per_epoch - 1,
                )
            start = Position()
        start = Position()


@np.errstate(over="ignore", invalid="ignore")  # what is not finite becomes one message
def fit(
    network: Network,
    x: Array,
    y: Array,
    config: TrainConfig,
    *,
    start: Position | None = None,
    observer: Observer | None = None,
) -> Position | None:
    """Train `network` in place.

    Parameters
    ----------
    network : Network
        Its parameters change in place.
    x : array, shape (samples, *in_shape)
        Not normalised, any number type.
    y : int64 array, shape (samples,)
    config : TrainConfig
    start : Position, optional
        Go on from here; the result is the same to the bit as without the stop.
    observer : Observer, optional
        Who is told, and may stop the run between two steps.

    Returns
    -------
    Position or None
        Where it stopped, or None when it is done.

    Raises
    ------
    Diverged
        If a local loss or a parameter is not finite.
    """
    network.check_input(x)
    network.check_batch(config.batch)
    observer = observer or Observer()
    control = _control(network, config)
    buffers = control.buffers if control else Buffers(network, config.batch)
    total, steps = 0.0, 0
    for step in _steps(network, len(x), config, start or Position()):
        if observer.should_stop():
            return step.position
        samples = buffers.load(x, y, step.rows)
        if control:
            loss = control.step(*samples, step.lr)
        else:
            loss = train_step(buffers, *samples, step.lr, step.learning)
        if not math.isfinite(loss):
            raise _diverged(_place(network, step), f"a local loss of {loss}")
        total, steps = total + loss, steps + 1
        observer.on_step(step.position, loss)
        if step.ends_epoch:
            observer.on_epoch(_report(network, config, step, total / steps))
            total, steps = 0.0, 0
    for name, value in network.stored().items():
        if not np.isfinite(value).all():
            raise _diverged(f"parameter {name!r}", "NaN or infinity")
    return None


def _control(network: Network, config: TrainConfig) -> Control | None:
    if config.method in ("tpsgd", "shallow"):
        return None
    return Control(network, config.method, config.batch, config.seed)


def _report(network: Network, config: TrainConfig, step: _Step, loss: float) -> EpochReport:
    return EpochReport(
        stage=step.position.stage + 1,
        stages=len(stages(network, config)),
        layer=network.blocks[max(step.learning)].name,
        epoch=step.position.epoch + 1,
        epochs=config.epochs,
        loss=loss,
    )


def _place(network: Network, step: _Step) -> str:
    name = network.blocks[max(step.learning)].name
    return f"layer {name!r}, epoch {step.position.epoch + 1}, step {step.position.step + 1}"


def _diverged(where: str, got: str) -> Diverged:
    return Diverged(
        where,
        expected="finite numbers",
        got=got,
        fix="lower train.lr, or normalise the input",
    )
