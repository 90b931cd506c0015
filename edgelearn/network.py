"""A network: layers, their parameters, and the projections that they learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgelearn.arrays import F32, Array, Shape
from edgelearn.config import BlockConfig, Recipe
from edgelearn.errors import ConfigError, DataShapeError, ModelFileError
from edgelearn.layers import Layer, Params
from edgelearn.losses import LOSSES, LocalLoss, ReadoutLoss
from edgelearn.normalize import Normalizer
from edgelearn.targets import projection


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One layer and how it learns.

    Attributes
    ----------
    name : str
        Such as ``dense1``; parameters are called ``dense1.w``.
    layer : Layer
    loss : LocalLoss
    lr_scale : float
        The layer's share of the learning rate.
    in_shape, out_shape : tuple of int
        Of one sample.
    params : dict of str to array
        What training changes, in place.
    projection : array or None
        Shape (classes, units); None for the head, which sees the labels themselves.
    learns_projection : bool
        Whether the projection is a parameter too, ``dense1.p``.
    """

    name: str
    layer: Layer
    loss: LocalLoss
    lr_scale: float
    in_shape: Shape
    out_shape: Shape
    params: Params
    projection: F32 | None
    learns_projection: bool

    def learned(self) -> dict[str, F32]:
        """The arrays that training changes, by their names within the block."""
        if self.learns_projection and self.projection is not None:
            return {**self.params, "p": self.projection}
        return self.params


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A stack of blocks for inputs of `in_shape` and labels that index `classes`."""

    name: str
    in_shape: Shape
    classes: tuple[str, ...]
    normalizer: Normalizer | None
    blocks: tuple[Block, ...]

    def parameters(self) -> dict[str, F32]:
        """Every parameter by name, such as ``dense1.w``."""
        return {f"{b.name}.{key}": value for b in self.blocks for key, value in b.learned().items()}

    def check_input(self, x: Array) -> None:
        """Raise `DataShapeError` unless `x` has shape (samples, *in_shape)."""
        if x.shape[1:] != self.in_shape:
            raise DataShapeError(
                f"model {self.name!r}",
                expected=f"samples of shape {list(self.in_shape)}",
                got=f"{list(x.shape[1:])}",
                fix="feed data with the features the model was trained on",
            )

    def with_parameters(self, values: Mapping[str, Array]) -> Network:
        """This network with copies of the `values` that `parameters` named."""
        blocks = []
        for block in self.blocks:
            copies = {}
            for key, old in block.learned().items():
                value = values.get(f"{block.name}.{key}")
                if value is None or value.shape != old.shape:
                    raise ModelFileError(
                        f"parameter {block.name}.{key}",
                        expected=f"shape {list(old.shape)}, as the recipe says",
                        got="none" if value is None else f"{list(value.shape)}",
                        fix="train the model again",
                    )
                copies[key] = value.copy()
            p = copies.pop("p") if block.learns_projection else block.projection
            blocks.append(replace(block, params=copies, projection=p))
        return replace(self, blocks=tuple(blocks))


def build(
    recipe: Recipe, in_shape: Shape, classes: Sequence[str], normalizer: Normalizer | None
) -> Network:
    """A new network as `recipe` says; every number in it follows from the recipe's seed.

    Raises
    ------
    ConfigError
        If the last layer is no head for these classes, or an earlier one is a head.
    """
    blocks: list[Block] = []
    shape = in_shape
    for index, config in enumerate(recipe.layers):
        blocks.append(_block(config, index, shape, len(classes), recipe.train.seed))
        shape = blocks[-1].out_shape
    _check_heads(recipe.name, blocks, len(classes))
    return Network(recipe.name, in_shape, tuple(classes), normalizer, tuple(blocks))


def _block(config: BlockConfig, index: int, in_shape: Shape, classes: int, seed: int) -> Block:
    layer, local = config.layer, config.local
    out_shape = layer.out_shape(in_shape)
    return Block(
        name=f"{layer.kind}{index + 1}",
        layer=layer,
        loss=LOSSES[local.loss],
        lr_scale=local.lr_scale,
        in_shape=in_shape,
        out_shape=out_shape,
        params=layer.init(in_shape, seed, index),
        projection=None if layer.is_head else _projection(config, out_shape, classes, seed, index),
        learns_projection=_learns_projection(config, f"layer {index + 1}"),
    )


def _learns_projection(config: BlockConfig, where: str) -> bool:
    if config.layer.is_head or not config.local.learn_projection:
        return False
    if not isinstance(LOSSES[config.local.loss], ReadoutLoss):
        raise ConfigError(
            where,
            expected="learn_projection with a loss of scores, such as cross_entropy",
            got=f"loss = {config.local.loss!r}, which a learned target would make zero",
            fix='write loss = "cross_entropy", or learn_projection = false',
        )
    return True


def _projection(config: BlockConfig, out_shape: Shape, classes: int, seed: int, index: int) -> F32:
    local = config.local
    loss, units = LOSSES[local.loss], math.prod(out_shape)
    row_norm = loss.row_norm(loss.gain if local.gain is None else local.gain, units)
    return projection(local.projection, classes, units, row_norm, seed, index)


def _check_heads(name: str, blocks: Sequence[Block], classes: int) -> None:
    last = blocks[-1]
    if not last.layer.is_head or last.out_shape != (classes,):
        raise ConfigError(
            f"recipe {name!r}, layer {last.name!r}",
            expected=f"a last layer of {classes} units with activation 'softmax', one a class",
            got=f"shape {list(last.out_shape)}{'' if last.layer.is_head else ', no softmax'}",
            fix=f'set units = {classes} and activation = "softmax" there',
        )
    for block in blocks[:-1]:
        if block.layer.is_head:
            raise ConfigError(
                f"recipe {name!r}, layer {block.name!r}",
                expected="activation 'softmax' in the last layer only",
                got="one before it",
                fix="use tanh or relu there",
            )
