"""A new network from a recipe: every number in it follows from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgelearn.arrays import Shape
from edgelearn.block import Block
from edgelearn.config import Recipe
from edgelearn.errors import ConfigError
from edgelearn.heads import check_losses, head_of, readout_of
from edgelearn.layers import Dropper, Follower, Layer, Learner, SequenceLearner
from edgelearn.layers.embedding import Embedding
from edgelearn.network import Network
from edgelearn.normalize import Normalizer, Outputs
from edgelearn.optimizers import OPTIMIZERS
from edgelearn.rng import Stream, key
from edgelearn.wiring import SAMPLE, Wiring, wire


def build(
    recipe: Recipe,
    in_shape: Shape,
    classes: Sequence[str],
    normalizer: Normalizer | None,
    outputs: Outputs | None = None,
) -> Network:
    """A new network as `recipe` says; every number in it follows from the recipe's seed.

    `outputs` are those of a regression, which has no `classes`.

    Raises
    ------
    ConfigError
        If the last layer is no head for these classes or outputs, or an earlier one is a head.
    """
    blocks: list[Block] = []
    shapes = {SAMPLE: in_shape}
    width = len(classes) if outputs is None else len(outputs.names)
    check_losses(recipe, width, "classes" if outputs is None else "values")
    for index, wiring in enumerate(wire(recipe)):
        if SAMPLE in wiring.sources:
            _require_raw(recipe.layers[index].layer, wiring.name, normalizer)
        shape = wiring.shape([shapes[source] for source in wiring.sources])
        blocks.append(_block(recipe, index, wiring, shape, width))
        shapes[index] = blocks[-1].out_shape
    optimizer = OPTIMIZERS[recipe.train.optimizer]
    return Network(
        name=recipe.name,
        in_shape=in_shape,
        classes=tuple(classes),
        normalizer=normalizer,
        blocks=tuple(blocks),
        optimizer=optimizer,
        head=head_of(recipe.layers[-1], blocks[-1].out_shape),
        outputs=outputs,
    )


def _block(recipe: Recipe, index: int, wiring: Wiring, in_shape: Shape, width: int) -> Block:
    config, seed = recipe.layers[index], recipe.train.seed
    layer, local = config.layer, config.local
    block = Block(
        wiring=wiring,
        layer=layer,
        lr_scale=local.lr_scale,
        in_shape=in_shape,
        out_shape=_out_shape(layer, wiring.name, in_shape),
        params=layer.init(in_shape, seed, index),
        readout=None,
        follows=isinstance(layer, Follower) and local.learn,
        chance=_chance(layer, seed, index),
    )
    if local.structure is not None:
        u = local.structure.mask(block.params.get("u"), block.name, seed, index)
        block = block.with_masks({"u": u})
    if index == len(recipe.layers) - 1:
        block = replace(block, readout=head_of(config, block.out_shape))
    elif isinstance(layer, Learner | SequenceLearner) and local.learn:
        readout = readout_of(local, layer.view(in_shape), width, seed, index)
        block = replace(block, readout=readout)
    moments = OPTIMIZERS[recipe.train.optimizer].moments(block.learned())
    return replace(block, moments=moments if block.readout else {})


def _require_raw(layer: Layer, name: str, normalizer: Normalizer | None) -> None:
    """Raise `ConfigError` if `layer` reads tokens where samples are normalised."""
    if isinstance(layer, Embedding) and normalizer is not None:
        raise ConfigError(
            f"layer {name!r}",
            expected="samples as they are: whole numbers, each the number of a token",
            got="input.normalize, which makes others of them (it is 'standard' if left out)",
            fix='write normalize = "none" under [input]',
        )


def _chance(layer: Layer, seed: int, index: int) -> int | None:
    """62 bits for layer number `index`, if it acts by chance."""
    return int(key(seed, Stream.DROPOUT, index)) >> 2 if isinstance(layer, Dropper) else None


def _out_shape(layer: Layer, name: str, in_shape: Shape) -> Shape:
    """Shape of the activation; errors name the layer by what it is called in its network."""
    try:
        return layer.out_shape(in_shape)
    except ConfigError as error:
        raise ConfigError(
            f"layer {name!r}", expected=error.expected, got=error.got, fix=error.fix
        ) from None
