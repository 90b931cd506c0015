"""Adapting a trained model to a shifted domain, with a guard against making it worse.

A few labelled samples of the new domain teach some of the layers. Which ones pay is not known
beforehand: the last layer alone is the safe choice, all layers gain most on geometric shifts and
can lose much on others. So a part of the samples is held out, and what was asked for is kept only
if it does clearly better there than the last layer alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import Array
from edgelearn.config import TrainConfig
from edgelearn.errors import DataShapeError, Diverged, OptionError
from edgelearn.evaluation import predict
from edgelearn.holdout import split
from edgelearn.network import Network
from edgelearn.progress import Observer
from edgelearn.trainer import fit

FEWEST = 20
"""Labelled samples that a guard needs at least."""


LOST = 1e30
"""The squared error of a regression that diverged: worse than any other."""


class AdaptConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to adapt.

    Parameters
    ----------
    layers : str
        "last", "first", "all", or names or numbers of layers, e.g. "1,dense2".
    epochs, batch, lr : int, int, float
    holdout : float
        Part of the samples that the guard judges by.
    guard : bool
        Without it, what was asked for is kept whatever it does.
    seed : int
    """

    layers: str = "all"
    epochs: Annotated[int, msgspec.Meta(ge=1)] = 10
    batch: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 8
    lr: Annotated[float, msgspec.Meta(gt=0)] = 0.05
    holdout: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.25
    guard: bool = True
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class AdaptReport(msgspec.Struct, frozen=True):
    """What adapting did, on the held-out samples; None without a guard.

    `before`, `last` and `after` are accuracies, or R2 of a regression (None if training diverged);
    `test_...` are those on a test part, where there is one that is not adapted to.
    `kept` says which layers' changes were kept: what was asked for, "last", or "none".
    """

    asked: str
    kept: str
    samples: int
    held_out: int
    before: float | None
    last: float | None
    after: float | None
    test_before: float | None = None
    test_after: float | None = None


def chosen(network: Network, layers: str) -> list[int]:
    """The numbers of the blocks that `layers` means, counted from 0.

    Raises
    ------
    OptionError
        If there is no such layer, or it does not learn.
    """
    learning = network.learning()
    if layers in ("last", "first", "all"):
        return {"last": learning[-1:], "first": learning[:1], "all": learning}[layers]
    names = {network.blocks[index].name: index for index in learning}
    numbers = {str(index + 1): index for index in learning}
    found = set()
    for word in layers.split(","):
        index = {**numbers, **names}.get(word.strip())
        if index is None:
            raise OptionError(
                f"layers {layers!r}",
                expected=f"last, first, all, or layers that learn: {', '.join(names)}",
                got=repr(word.strip()),
                fix="name layers of this model, separated by commas",
            )
        found.add(index)
    return sorted(found)


def adapt(
    network: Network,
    x: Array,
    y: Array,
    config: AdaptConfig,
    observer: Observer | None = None,
) -> tuple[Network, AdaptReport]:
    """`network` adapted to labelled samples; the network that is given stays as it is.

    Parameters
    ----------
    network : Network
    x : array, shape (samples, *in_shape)
        Of the new domain, not normalised.
    y : int64 array, shape (samples,), or float32, shape (samples, outputs)
    config : AdaptConfig
    observer : Observer, optional
        Told of every step.

    Returns
    -------
    Network, AdaptReport

    Raises
    ------
    OptionError
        If `config` names layers that the network lacks.
    DataShapeError
        If there are too few samples for a guard.
    """
    asked, last = chosen(network, config.layers), chosen(network, "last")
    if not config.guard:
        result = _taught(network, x, y, asked, config, observer)
        return result, AdaptReport(config.layers, config.layers, len(x), 0, None, None, None)
    _require_enough(len(x))
    taught, held = split(y, config.holdout, config.seed)
    faults = {"none": _faults(network, x[held], y[held])}
    for name, layers in {"last": last, config.layers: asked}.items():
        faults[name] = _trial(network, x, y, taught, held, layers, config, observer)
    kept = _better(faults, "last", "none")
    if asked != last:
        kept = _better(faults, kept, config.layers)
    result = network
    if kept != "none":
        result = _taught(network, x, y, chosen(network, kept), config, observer)
    scores = {name: _mark(network, found, y[held]) for name, found in faults.items()}
    return result, AdaptReport(
        config.layers,
        kept,
        len(x),
        len(held),
        scores["none"],
        scores["last"],
        scores[config.layers],
    )


def _require_enough(samples: int) -> None:
    if samples < FEWEST:
        raise DataShapeError(
            "samples to adapt to",
            expected=f"{FEWEST} or more: some are held out for the guard",
            got=f"{samples}",
            fix="label more samples, or adapt the last layer with --no-guard",
        )


def _taught(
    network: Network,
    x: Array,
    y: Array,
    layers: Sequence[int],
    config: AdaptConfig,
    observer: Observer | None,
) -> Network:
    """A copy of `network` whose `layers` have learned, its other parts as before."""
    copy = network.with_arrays(network.stored())
    learner = copy.learning_only(layers)
    schedule = TrainConfig(
        epochs=config.epochs,
        batch=min(config.batch, len(x)),
        lr=config.lr,
        seed=config.seed,
        schedule="simultaneous",
    )
    fit(learner, x, y, schedule, observer=observer)
    return copy


def _trial(
    network: Network,
    x: Array,
    y: Array,
    taught: NDArray[np.int64],
    held: NDArray[np.int64],
    layers: Sequence[int],
    config: AdaptConfig,
    observer: Observer | None,
) -> Array:
    """Faults on the held-out samples after a trial; the worst there are if it diverged."""
    try:
        trial = _taught(network, x[taught], y[taught], layers, config, observer)
    except Diverged:
        return np.full((len(held), 1), 1.0 if network.outputs is None else LOST)
    return _faults(trial, x[held], y[held])


def _faults(network: Network, x: Array, y: Array) -> Array:
    """1 where the class is wrong, (samples, 1); or squared errors of values (samples, outputs)."""
    said = predict(network, x)
    if network.outputs is None:
        wrong: Array = said.argmax(axis=1) != y
        return wrong.astype(np.float64)[:, None]
    gaps: Array = (said.astype(np.float64) - y) / network.outputs.spread
    return gaps * gaps


def _mark(network: Network, faults: Array, y: Array) -> float | None:
    """Accuracy, or R2, which is None where there is none."""
    if network.outputs is None:
        return float(1 - faults.mean())
    spread = y.std(axis=0, dtype=np.float64) / network.outputs.spread
    if not (spread.all() and faults.max() < LOST):
        return None
    return float((1 - faults.mean(axis=0) / spread**2).mean())


def _better(faults: dict[str, Array], safe: str, bold: str) -> str:
    """`bold` if its faults are fewer than those of `safe` by more than chance explains.

    One standard deviation of the difference of paired samples (of classes, McNemar's test): a tie
    is no reason to move more layers.
    """
    gains = faults[safe].mean(axis=1) - faults[bold].mean(axis=1)
    return bold if gains.sum() > np.sqrt((gains * gains).sum()) else safe
