"""``[train]`` of a recipe: how a run goes."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from edgelearn.errors import ConfigError
from edgelearn.optimizers import OptimizerKind
from edgelearn.rates import Infinite, schedule
from edgelearn.rates import Setting as RateSetting
from edgelearn.strict import convert

Method: TypeAlias = Literal["tpsgd", "shallow", "drtp", "dfa", "fa", "bp"]
Positive = Annotated[int, msgspec.Meta(ge=1)]
LARGEST = 1e38
"""What float32 holds: infinity is no setting."""


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[train]``. `lr` is the learning rate; `lr_schedule`, of `edgelearn.rates`, its course.

    `schedule`: "layerwise" trains one layer after the other, each for all `epochs`;
    "simultaneous" updates all layers in every step. `method`: "tpsgd", or one of the controls of
    `edgelearn.controls` to compare it with. `validation` is the share of the training part that is
    held out; with `patience`, a stage ends when it has not improved there for so many epochs, and
    keeps the parameters that were best: by the local loss of its layer, or by the accuracy of the
    head when all layers learn at once.

    `cache_bytes` spares a layer-wise run work: the inputs of the layer that learns are kept, as
    float32, if those of all samples fit into so many bytes; else they are made again in every step.
    `gradient_noise` is the eta of `edgelearn.noise`; an exported training step has none.
    """

    epochs: Positive = 20
    batch: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 32
    lr: Annotated[float, msgspec.Meta(gt=0, le=LARGEST)] = 0.05
    lr_schedule: RateSetting = "cosine"
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0
    schedule: Literal["layerwise", "simultaneous"] = "layerwise"
    method: Method = "tpsgd"
    optimizer: OptimizerKind = "sgd"
    validation: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    patience: Positive | None = None
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    gradient_noise: Annotated[float, msgspec.Meta(ge=0, le=LARGEST)] = 0.0


def train_config(table: object, where: str) -> TrainConfig:
    """The settings in `table`, as TOML or JSON gives it; errors name `where`."""
    train = convert(table, TrainConfig, where)
    if train.patience is not None and not train.validation:
        raise ConfigError(
            f"{where}, patience",
            expected="samples held out to judge by",
            got="validation = 0",
            fix="add validation = 0.1",
        )
    layerwise = train.method == "tpsgd" and train.schedule == "layerwise"
    if layerwise and isinstance(schedule(train.lr_schedule), Infinite):
        raise ConfigError(
            f"{where}, lr_schedule",
            expected="schedule = 'simultaneous' beside 'infinite': one plateau, to go on from",
            got="schedule = 'layerwise', a plateau for each layer",
            fix='write schedule = "simultaneous", or lr_schedule = "cosine"',
        )
    if train.gradient_noise and train.method not in ("tpsgd", "shallow"):
        raise ConfigError(
            f"{where}, gradient_noise",
            expected="method 'tpsgd' or 'shallow': controls have no noise",
            got=f"method = {train.method!r}",
            fix="leave gradient_noise out",
        )
    return train
