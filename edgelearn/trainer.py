"""Training: schedules, epochs, where one is, and stopping between two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from edgelearn.arrays import Array
from edgelearn.config import TrainConfig
from edgelearn.engine import Buffers, train_step
from edgelearn.errors import Diverged
from edgelearn.network import Network
from edgelearn.rng import Stream, permutation


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far training has come: the next step to make.

    With the layer-wise schedule a stage is a layer; simultaneous training is one stage.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0


class EpochReport(msgspec.Struct, frozen=True):
    """One epoch that is done: counted from 1, with the mean loss of the last learning layer."""

    stage: int
    stages: int
    layer: str
    epoch: int
    epochs: int
    loss: float


def stages(network: Network, config: TrainConfig) -> list[Sequence[int]]:
    """Which blocks learn in each stage."""
    every = range(len(network.blocks))
    return [[index] for index in every] if config.schedule == "layerwise" else [every]


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The learning rate of one step out of `steps` of a stage.

    >>> learning_rate(TrainConfig(lr=1.0, lr_schedule="cosine"), 5, 10)
    0.5
    """
    if config.lr_schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * step / steps))


def fit(
    network: Network,
    x: Array,
    y: Array,
    config: TrainConfig,
    *,
    start: Position | None = None,
    on_step: Callable[[Position, float], None] = lambda _position, _loss: None,
    on_epoch: Callable[[EpochReport], None] = lambda _report: None,
    should_stop: Callable[[], bool] = lambda: False,
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
    on_step, on_epoch : callable, optional
        Told of every step (the position, and the mean loss) and every epoch.
    should_stop : callable, optional
        Asked before every step.

    Returns
    -------
    Position or None
        Where it stopped, or None when it is done.

    Raises
    ------
    Diverged
        If a local loss is not finite.
    """
    network.check_input(x)
    start = start or Position()
    buffers = Buffers(network, config.batch)
    steps = math.ceil(len(x) / config.batch)
    plan = stages(network, config)
    for stage in range(start.stage, len(plan)):
        learning = plan[stage]
        first = start.epoch if stage == start.stage else 0
        for epoch in range(first, config.epochs):
            order = permutation(config.seed, Stream.SHUFFLE, epoch, len(x))
            total = 0.0
            resumed = stage == start.stage and epoch == start.epoch
            for step in range(start.step if resumed else 0, steps):
                here = Position(stage, epoch, step)
                if should_stop():
                    return here
                rows = order[step * config.batch : (step + 1) * config.batch]
                lr = learning_rate(config, epoch * steps + step, config.epochs * steps)
                loss = train_step(buffers, *buffers.load(x, y, rows), lr, learning)
                if not math.isfinite(loss):
                    raise _diverged(network, learning, here, loss)
                total += loss
                on_step(here, loss)
            name = network.blocks[max(learning)].name
            mean = total / steps
            on_epoch(EpochReport(stage + 1, len(plan), name, epoch + 1, config.epochs, mean))
    _check_parameters(network)
    return None


def _diverged(network: Network, learning: Sequence[int], at: Position, loss: float) -> Diverged:
    return Diverged(
        f"layer {network.blocks[max(learning)].name!r}, epoch {at.epoch + 1}, step {at.step + 1}",
        expected="a finite local loss",
        got=f"{loss}",
        fix="lower train.lr, or normalise the input",
    )


def _check_parameters(network: Network) -> None:
    for name, value in network.parameters().items():
        if not np.isfinite(value).all():
            raise Diverged(
                f"parameter {name!r}",
                expected="finite numbers",
                got="NaN or infinity",
                fix="lower train.lr, or normalise the input",
            )
