"""When weights become 0: at once, or more and more of them while the network learns."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from edgelearn.errors import OptionError

Schedule: TypeAlias = Literal["oneshot", "gradual", "iterative", "dynamic"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
RAMP = 2 / 3
"""The share of epochs in which sparsity grows; in the rest the network learns with what is left."""


def sparsities(schedule: Schedule, sparsity: float, epochs: int) -> list[float]:
    """The sparsity during each of `epochs`; without epochs, the one that is reached at once.

    ``oneshot``
        all of it before the first epoch;
    ``gradual``
        ``s (1 - (1 - t)^3)``: fast while there is much to lose, slower and slower (Zhu & Gupta
        2017, arXiv:1710.01878, equation 1, from 0);
    ``iterative``
        the same share of what is left every time, ``1 - (1 - s)^t`` (Han et al. 2015; Frankle &
        Carbin 2019).

    ``dynamic``
        all of it before the first epoch, and other weights after each
        (`edgelearn.sparsity.regrowth`).

    t grows from 1 / n to 1 in the first n epochs, two thirds of all.

    Raises
    ------
    OptionError
        If sparsity should grow, or weights should change places, in no epochs.

    >>> [round(s, 3) for s in sparsities("gradual", 0.9, 6)]
    [0.52, 0.787, 0.886, 0.9, 0.9, 0.9]
    """
    if schedule == "oneshot":
        return [sparsity] * max(epochs, 1)
    if epochs < 1:
        raise OptionError(
            f"schedule {schedule!r}",
            expected="epochs of learning on the way",
            got="none",
            fix="add e.g. --retrain 10, or prune with --schedule oneshot",
        )
    if schedule == "dynamic":
        return [sparsity] * epochs
    ramp = max(1, round(RAMP * epochs))
    times = [min(1.0, (epoch + 1) / ramp) for epoch in range(epochs)]
    if schedule == "gradual":
        return [sparsity * (1 - (1 - t) ** 3) for t in times]
    return [1 - (1 - sparsity) ** t for t in times]
