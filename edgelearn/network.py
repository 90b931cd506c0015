"""A network: blocks in order, what they read, and what of them changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from edgelearn.arrays import F32, Array, Shape
from edgelearn.block import Block
from edgelearn.errors import ConfigError, DataShapeError
from edgelearn.losses import Answers
from edgelearn.normalize import Normalizer, Outputs
from edgelearn.optimizers import OPTIMIZERS, Optimizer
from edgelearn.readout import Readout


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
            if block.follows and not set(learning).isdisjoint(self._learners_above(index)[:1])
        ]

    def acting(self, learning: Collection[int]) -> list[int]:
        """The numbers of the blocks that act by chance while these learn, as they read them."""
        able = [index for index, block in enumerate(self.blocks) if block.chance is not None]
        return [i for i in able if not set(learning).isdisjoint(self._learners_above(i))]

    def _learners_above(self, index: int) -> list[int]:
        """The numbers of the blocks that learn from block number `index`, the first first."""
        found, reached = [], {index}
        for above in range(index + 1, len(self.blocks)):
            if reached.intersection(self.blocks[above].wiring.sources):
                if self.blocks[above].readout is not None:
                    found.append(above)
                else:
                    reached.add(above)
        return found

    def learning_only(self, indices: Collection[int]) -> Network:
        """This network, its arrays shared, in which only these blocks learn, and by plain SGD."""
        following, acting = self.following(indices), self.acting(indices)
        blocks = [
            replace(
                block,
                readout=block.readout if index in indices else None,
                moments={},
                follows=index in following,
                chance=block.chance if index in acting else None,
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

    def compact(self) -> Network:
        """This network with what is left of pruned matrices only, where layers can do with that."""
        return replace(self, blocks=tuple(block.compact() for block in self.blocks))

    def whole(self) -> Network:
        """This network with all weights, and masks of those that are pruned."""
        return replace(self, blocks=tuple(block.whole() for block in self.blocks))

    def with_arrays(self, values: Mapping[str, Array]) -> Network:
        """This network with copies of the `values` that `stored` named."""
        return replace(self, blocks=tuple(b.with_arrays(values) for b in self.blocks))
