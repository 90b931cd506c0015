"""A network: layers, their parameters, and how each of them learns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Mask, Shape
from edgelearn.config import Recipe
from edgelearn.errors import ConfigError, DataShapeError, ModelFileError
from edgelearn.heads import check_losses, head_of, readout_of
from edgelearn.layers import Follower, Layer, Learner, Params, SequenceLearner
from edgelearn.losses import Answers
from edgelearn.normalize import Normalizer, Outputs
from edgelearn.optimizers import OPTIMIZERS, Optimizer
from edgelearn.readout import Readout
from edgelearn.wiring import SAMPLE, Wiring, wire


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One layer and how it learns.

    Attributes
    ----------
    wiring : Wiring
        Its name, such as ``dense1`` (parameters are called ``dense1.w``), and what it reads.
    layer : Layer
    lr_scale : float
        The layer's share of the learning rate.
    in_shape, out_shape : tuple of int
        Of one sample.
    params : dict of str to array
        What the layer computes with; training changes them in place if the block learns.
    readout : Readout or None
        The local loss; None for a layer that does not learn.
    moments : dict of str to array
        What the optimiser remembers.
    follows : bool
        Whether the parameters follow the data while the first block that learns from this one
        does.
    masks : dict of str to array
        Of parameters that are pruned: 1 for a weight that stays, 0 for one that is 0 for good.
    """

    wiring: Wiring
    layer: Layer
    lr_scale: float
    in_shape: Shape
    out_shape: Shape
    params: Params
    readout: Readout | None
    moments: Params = field(default_factory=dict)
    follows: bool = False
    masks: dict[str, Mask] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the block is called."""
        return self.wiring.name

    def learned(self) -> Params:
        """The arrays that training changes, by their names within the block."""
        if self.readout is None:
            return {}
        learned = self.params
        if isinstance(self.layer, SequenceLearner):
            learned = {k: v for k, v in learned.items() if k not in self.layer.constants}
        if self.readout.learns and self.readout.held is not None:
            return {**learned, "p": self.readout.held}
        return learned

    def with_masks(self, masks: dict[str, Mask]) -> Block:
        """This block, its arrays shared, with these masks and no others; weights become 0."""
        for key, mask in masks.items():
            self.params[key][mask == 0] = 0
        return replace(self, masks=masks)

    def hold_masks(self) -> None:
        """Set to 0 in place what the masks say, as after every step."""
        for key, mask in self.masks.items():
            kernels.sparse.hold(mask.ravel(), self.params[key].ravel())

    def scores(self, a: F32, features: F32) -> Array:
        """What the readout says of each class, given final activations `a`."""
        layer, readout = self.layer, self.readout
        assert readout is not None  # noqa: S101  only blocks with one are asked
        return readout.scores(
            layer.judged(a) if isinstance(layer, SequenceLearner) else a, features
        )

    def stored(self) -> Params:
        """All arrays that are not made from the seed again: parameters and moments."""
        return {**self.params, **self.learned(), **self.moments}


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Blocks in order, for inputs of `in_shape` and labels that index `classes`.

    `head` is the readout of the last block, also while that does not learn. A regression has
    `outputs` and no classes: its labels are values.
    """

    name: str
    in_shape: Shape
    classes: tuple[str, ...]
    normalizer: Normalizer | None
    blocks: tuple[Block, ...]
    optimizer: Optimizer
    head: Readout
    outputs: Outputs | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of classes, or of the outputs of a regression."""
        return self.classes if self.outputs is None else self.outputs.names

    @property
    def width(self) -> int:
        """How many classes or outputs."""
        return len(self.names)

    def stored(self) -> dict[str, F32]:
        """Every parameter and what the optimiser remembers, by names such as ``dense1.w``."""
        return {f"{b.name}.{key}": value for b in self.blocks for key, value in b.stored().items()}

    def changing(self, learning: Collection[int]) -> dict[str, F32]:
        """What changes while these blocks learn, by the same names: followers change too."""
        found = {self.blocks[index].name: self.blocks[index].learned() for index in learning}
        for index in self.following(learning):
            found[self.blocks[index].name] = self.blocks[index].params
        return {f"{name}.{key}": a for name, arrays in found.items() for key, a in arrays.items()}

    def fixed(self) -> list[F32]:
        """Every projection that is held and not learned: it follows from the seed."""
        readouts = [block.readout for block in self.blocks if block.readout is not None]
        return [r.held for r in readouts if r.held is not None and not r.learns]

    def learning(self) -> list[int]:
        """The numbers of the blocks that learn, the head last."""
        return [index for index, block in enumerate(self.blocks) if block.readout is not None]

    @property
    def answers(self) -> Answers:
        """What the last layer says of each class."""
        return self.head.head_loss.answers

    def check_batch(self, batch: int) -> None:
        """Raise `ConfigError` if a layer that learns cannot do so from `batch` samples at once."""
        for block in self.blocks:
            if batch < 2 and block.readout is not None and block.readout.loss.compares:
                raise ConfigError(
                    f"layer {block.name!r}",
                    expected="a batch of 2 samples or more: its loss compares them",
                    got=f"{batch}",
                    fix="raise the batch (-s train.batch=32), or choose another loss",
                )

    def last_reader(self, index: int) -> int:
        """The number of the last block that reads block number `index`; itself if none does."""
        return max(
            (n for n, block in enumerate(self.blocks) if index in block.wiring.sources),
            default=index,
        )

    def following(self, learning: Collection[int]) -> list[int]:
        """The numbers of the blocks that follow the data while these learn."""
        return [
            index
            for index, block in enumerate(self.blocks)
            if block.follows and self._first_learner_above(index) in learning
        ]

    def _first_learner_above(self, index: int) -> int | None:
        """The number of the first block that learns from block number `index`."""
        reached = {index}
        for above in range(index + 1, len(self.blocks)):
            if reached.intersection(self.blocks[above].wiring.sources):
                if self.blocks[above].readout is not None:
                    return above
                reached.add(above)
        return None

    def learning_only(self, indices: Collection[int]) -> Network:
        """This network, its arrays shared, in which only these blocks learn, and by plain SGD."""
        following = self.following(indices)
        blocks = [
            replace(
                block,
                readout=block.readout if index in indices else None,
                moments={},
                follows=index in following,
            )
            for index, block in enumerate(self.blocks)
        ]
        return replace(self, blocks=tuple(blocks), optimizer=OPTIMIZERS["sgd"])

    def check_input(self, x: Array) -> None:
        """Raise `DataShapeError` unless `x` has shape (samples, *in_shape)."""
        if x.shape[1:] != self.in_shape:
            raise DataShapeError(
                f"model {self.name!r}",
                expected=f"samples of shape {list(self.in_shape)}",
                got=f"{list(x.shape[1:])}",
                fix="feed data with the features the model was trained on",
            )

    def with_arrays(self, values: Mapping[str, Array]) -> Network:
        """This network with copies of the `values` that `stored` named."""
        return replace(self, blocks=tuple(_restored(block, values) for block in self.blocks))


def _restored(block: Block, values: Mapping[str, Array]) -> Block:
    copies = {}
    for key, old in block.stored().items():
        value = values.get(f"{block.name}.{key}")
        if value is None or value.shape != old.shape:
            raise ModelFileError(
                f"parameter {block.name}.{key}",
                expected=f"shape {list(old.shape)}, as the recipe says",
                got="none" if value is None else f"{list(value.shape)}",
                fix="train the model again",
            )
        copies[key] = value.copy()
    readout = block.readout
    if readout is not None and readout.learns:
        readout = replace(readout, projection=copies["p"])
    return replace(
        block,
        params={key: copies[key] for key in block.params},
        moments={key: copies[key] for key in block.moments},
        readout=readout,
    )


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
        out_shape=layer.out_shape(in_shape),
        params=layer.init(in_shape, seed, index),
        readout=None,
        follows=isinstance(layer, Follower) and local.learn,
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
