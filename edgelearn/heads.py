"""Losses of the layers of a recipe: which they may have, and the readouts that they make."""

from __future__ import annotations

from typing import Final

from edgelearn.arrays import F32, Shape
from edgelearn.config import BlockConfig, LocalConfig, Recipe
from edgelearn.errors import ConfigError
from edgelearn.layers import Learner, SequenceLearner
from edgelearn.layers.dense import Dense
from edgelearn.losses import LOSSES, HeadLoss, Likelihood, Loss, ReadoutLoss, Task, local_loss
from edgelearn.readout import Readout
from edgelearn.targets import SignRows, projection
from edgelearn.views import View, Whole

OF_VALUES: Final = "activation 'linear' and loss 'mse' or 'huber', one an output"
OF_CLASSES: Final = "activation 'softmax', one a class"


def check_losses(recipe: Recipe, width: int, task: Task) -> None:
    """Raise `ConfigError` unless the last layer is a head and the others can learn.

    Parameters
    ----------
    recipe : Recipe
    width : int
        How many classes or outputs the data has.
    task : {"classes", "values"}
    """
    *hidden, last = recipe.layers
    where = _where(recipe, last, len(recipe.layers))
    _check_size(last, width, task, where)
    _check_head(last, task, where)
    for index, config in enumerate(hidden, start=1):
        where = _where(recipe, config, index)
        if isinstance(config.layer, Dense) and config.layer.activation == "softmax":
            raise ConfigError(
                where,
                expected="activation 'softmax' in the last layer only",
                got="one before it",
                fix="use tanh or relu there",
            )
        if isinstance(config.layer, Learner | SequenceLearner) and config.local.learn:
            _check_hidden(config, task, where)


def head_of(config: BlockConfig, out_shape: Shape) -> Readout:
    """That of the last layer: softmax tells probabilities, linear has the loss that it names."""
    softmax = isinstance(config.layer, Dense) and config.layer.activation == "softmax"
    loss: Loss = Likelihood() if softmax else LOSSES[config.local.loss]
    return Readout(Whole(out_shape), loss, projection=None, learns=False, is_head=True)


def readout_of(local: LocalConfig, view: View, width: int, seed: int, index: int) -> Readout:
    """That of hidden layer number `index`, for so many classes or outputs."""
    loss = local_loss(local.loss, width, local.beta)
    if not loss.needs_projection:
        return Readout(view, loss, None, learns=False)
    row_norm = loss.row_norm(loss.gain if local.gain is None else local.gain, view.size)
    p: F32 | SignRows
    if local.chunk is not None:
        p = SignRows(width, view.size, row_norm, seed, index, min(local.chunk, width))
    else:
        p = projection(local.projection, width, view.size, row_norm, seed, index)
    return Readout(view, loss, p, local.learn_projection)


def _where(recipe: Recipe, config: BlockConfig, number: int) -> str:
    name = config.wiring.name or f"{config.layer.kind}{number}"
    return f"recipe {recipe.name!r}, layer {name!r}"


def _check_size(last: BlockConfig, width: int, task: Task, where: str) -> None:
    units = last.layer.units if isinstance(last.layer, Dense) else None
    activation = last.layer.activation if isinstance(last.layer, Dense) else None
    wanted = ("softmax", "linear") if task == "classes" else ("linear",)
    if units == width and activation in wanted:
        return
    size = f"{units} units" if units else f"a layer of kind {last.layer.kind!r}"
    name = "softmax" if task == "classes" else "linear"
    form = OF_CLASSES if task == "classes" else OF_VALUES
    raise ConfigError(
        where,
        expected=f"a last layer of {width} units with {form}",
        got=f"{size}{'' if activation == name else f', no {name}'}",
        fix=f'set units = {width} and activation = "{name}" there',
    )


def _check_head(last: BlockConfig, task: Task, where: str) -> None:
    kind, loss = last.local.loss, LOSSES[last.local.loss]
    if task != loss.task:
        data, other = ("class", "value") if task == "classes" else ("value", "class")
        raise ConfigError(
            where,
            expected=f"a loss of {task}, as the data holds",
            got=f"loss {kind!r}",
            fix=f'choose a loss of {task}, or data with target = "{other}" instead of "{data}"',
        )
    softmax = isinstance(last.layer, Dense) and last.layer.activation == "softmax"
    if kind == "cross_entropy" if softmax else isinstance(loss, HeadLoss):
        return
    raise ConfigError(
        where,
        expected="activation 'softmax' with loss 'cross_entropy', "
        "or 'linear' with 'hinge' or 'squared_hinge'",
        got=f"activation '{'softmax' if softmax else 'linear'}' with loss {kind!r}",
        fix="change one of the two",
    )


def _check_hidden(config: BlockConfig, task: Task, where: str) -> None:
    loss = LOSSES[config.local.loss]
    got = f"loss = {loss.kind!r}"
    if loss.task != task:
        known = ", ".join(kind for kind, found in LOSSES.items() if found.task == task)
        fix = f'write loss = "{known.partition(",")[0]}" there'
        raise ConfigError(where, expected=f"a loss of {task}: {known}", got=got, fix=fix)
    if config.local.learn_projection and not isinstance(loss, ReadoutLoss):
        raise ConfigError(
            where,
            expected="learn_projection with a loss of scores, such as cross_entropy",
            got=f"{got}, which has none",
            fix='write loss = "cross_entropy", or learn_projection = false',
        )
    if config.local.chunk is not None:
        _check_chunk(config, where)
    if loss.compares and isinstance(config.layer, SequenceLearner):
        raise ConfigError(
            where,
            expected="a loss of one sample at a time in a recurrent layer",
            got=f"{got}, which compares the samples of a batch",
            fix='write loss = "cross_entropy" there',
        )


def _check_chunk(config: BlockConfig, where: str) -> None:
    local, loss = config.local, LOSSES[config.local.loss]
    fixed = local.projection == "sign" and not local.learn_projection
    if fixed and isinstance(loss, ReadoutLoss) and not loss.compares:
        return
    raise ConfigError(
        where,
        expected="chunk beside projection 'sign', fixed, and a loss of scores",
        got=f"projection {local.projection!r}, loss {loss.kind!r}"
        + (", learned" if local.learn_projection else ""),
        fix='write projection = "sign" and loss = "cross_entropy", or leave out chunk',
    )
