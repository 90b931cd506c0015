"""How far a run has come: what it goes on from, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from edgelearn.arrays import F32

Count = Annotated[int, msgspec.Meta(ge=0)]


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far training has come: the next step to make.

    With the layer-wise schedule a stage is a layer; simultaneous training is one stage.
    """

    stage: Count = 0
    epoch: Count = 0
    step: Count = 0


class Progress(Position, frozen=True, forbid_unknown_fields=True):
    """A position, and what was counted on the way there.

    `loss` is the sum over the steps of this epoch, `right` each learning layer's right guesses in
    it; `best` is the stage's best score, `stale` the epochs since.
    """

    loss: float = 0.0
    right: tuple[Count, ...] = ()
    best: float | None = None
    stale: Count = 0


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """All that a run goes on from besides the network: progress, and the best of its stage."""

    progress: Progress = field(default_factory=Progress)
    best: Mapping[str, F32] = field(default_factory=dict)


class EpochReport(msgspec.Struct, frozen=True):
    """One epoch that is done, counted from 1; `last` says that its stage is done too.

    `loss` is the mean of the last learning layer's, `accuracies` what the readout of each learning
    layer guessed right on the samples that it then learned from; `held_out_loss` and `held_out`
    are the same on the held-out samples after the epoch.
    """

    stage: int
    stages: int
    layer: str
    epoch: int
    epochs: int
    last: bool
    loss: float
    accuracies: dict[str, float] = {}
    held_out_loss: float | None = None
    held_out: dict[str, float] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Observer:
    """Who is told of a run, and who may stop it between two steps.

    `on_step` is told the position and the mean loss of every step, `on_epoch` of every epoch;
    `should_stop` is asked before every step.
    """

    on_step: Callable[[Position, float], None] = lambda _position, _loss: None
    on_epoch: Callable[[EpochReport], None] = lambda _report: None
    should_stop: Callable[[], bool] = lambda: False
