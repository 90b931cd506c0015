"""Learning-rate schedules: the share of the learning rate that each step of a stage gets.

A length, such as that of a warm-up, is a share of the stage (a fraction below 1) or a number of
steps (a whole number). Everything follows from the settings and the number of the step, so that a
run that was stopped goes on at the same rate.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec

from edgelearn.errors import ConfigError

Length: TypeAlias = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0, lt=1)]
Part: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1)]


@dataclass(frozen=True, slots=True)
class Span:
    """How long a stage is: steps in all, and steps of one epoch."""

    steps: int
    epoch_steps: int

    def length(self, value: Length) -> int:
        """`value` in steps.

        >>> Span(200, 20).length(0.25), Span(200, 20).length(30)
        (50, 30)
        """
        return value if isinstance(value, int) else round(value * self.steps)


class Schedule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"
):
    """Settings of every schedule: a linear `warmup` to the full rate comes before its own course.

    The first of w steps of warm-up has the share 1 / w.
    """

    warmup: Length = 0

    def share(self, step: int, span: Span) -> float:
        """The share of the learning rate at `step`, counted from 0."""
        start = span.length(self.warmup)
        return (step + 1) / start if step < start else self.after(step, start, span)

    @abstractmethod
    def after(self, step: int, start: int, span: Span) -> float:
        """As `share`, from step `start` on, where the warm-up ends."""

    def phases(self) -> tuple[Length, ...]:
        """The lengths that must fit into a stage, one after the other."""
        return (self.warmup,)


class Constant(Schedule, frozen=True, tag="constant"):
    """The full rate to the end."""

    def after(self, step: int, start: int, span: Span) -> float:
        return 1.0


class Cosine(Schedule, frozen=True, tag="cosine"):
    """Half a period of a cosine, from 1 down to `end`."""

    end: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0

    def after(self, step: int, start: int, span: Span) -> float:
        return _cosine(1.0, self.end, (step - start) / (span.steps - start))


class Step(Schedule, frozen=True, tag="step"):
    """Times `factor` at every milestone: at each length in `milestones`, every so many epochs.

    With neither, at half and at three quarters of the stage.
    """

    factor: Part = 0.1
    milestones: tuple[Length, ...] | None = None
    every_epochs: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def after(self, step: int, start: int, span: Span) -> float:
        milestones, every = self.milestones or (), self.every_epochs
        if self.milestones is None and every is None:
            milestones = (0.5, 0.75)
        passed = sum(step >= span.length(milestone) for milestone in milestones)
        if every is not None:
            passed += step // (every * span.epoch_steps)
        return float(self.factor**passed)


class Infinite(Schedule, frozen=True, tag="infinite"):
    """For a stream without end: warm-up, a cosine `cooldown` to a `plateau`, and there it stays.

    The last `anneal` of a stage falls exponentially from the plateau to its part `end`. Without it
    a model stays on the plateau, where training goes on with `resumed` at any time: longer, or
    annealed when a settled model is wanted.

    Notes
    -----
    Source: the infinite cosine schedule (Singh et al. 2025, arXiv:2503.02844, equation 1). The
    shape is the paper's as others describe and implement it; the default lengths are ours.
    """

    warmup: Length = 0.05
    cooldown: Length = 0.25
    plateau: Part = 0.3
    anneal: Length = 0
    end: Part = 0.01

    def after(self, step: int, start: int, span: Span) -> float:
        cooldown, anneal = span.length(self.cooldown), span.length(self.anneal)
        annealed = step - (span.steps - anneal)
        if annealed >= 0:
            return float(self.plateau * self.end ** (annealed / anneal))
        if step < start + cooldown:
            return _cosine(1.0, self.plateau, (step - start) / cooldown)
        return self.plateau

    def phases(self) -> tuple[Length, ...]:
        return (self.warmup, self.cooldown, self.anneal)

    def resumed(self, anneal_steps: int) -> Infinite:
        """The schedule of going on from the plateau, with so many steps of annealing at the end."""
        return msgspec.structs.replace(self, warmup=0, cooldown=0, anneal=anneal_steps)


def _cosine(top: float, bottom: float, part: float) -> float:
    return bottom + (top - bottom) * 0.5 * (1 + math.cos(math.pi * part))


Word: TypeAlias = Literal["constant", "cosine", "step", "infinite"]
Setting: TypeAlias = Word | Constant | Cosine | Step | Infinite
"""What a recipe may say: a word for the defaults, or a table with that word as its `kind`."""

_DEFAULTS: Mapping[Word, Schedule] = {
    "constant": Constant(),
    "cosine": Cosine(),
    "step": Step(),
    "infinite": Infinite(),
}


def schedule(setting: Setting) -> Schedule:
    """The schedule that `setting` means.

    >>> schedule("cosine").share(5, Span(10, 10))
    0.5
    """
    return setting if isinstance(setting, Schedule) else _DEFAULTS[setting]


def require_room(setting: Setting, span: Span) -> None:
    """Raise `ConfigError` if the phases of a schedule are longer than a stage."""
    needed = sum(span.length(phase) for phase in schedule(setting).phases())
    if needed > span.steps:
        raise ConfigError(
            "train.lr_schedule",
            expected=f"warm-up and other phases within the {span.steps} steps of a stage",
            got=f"{needed} steps",
            fix="shorten them, give them as shares such as 0.05, or train for more epochs",
        )
