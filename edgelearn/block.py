"""A block: one layer of a network, its arrays, and how it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Mask, Shape
from edgelearn.errors import ModelFileError
from edgelearn.ir.structure import Structure
from edgelearn.layers import Kept, Layer, Params, SequenceLearner, Sparse, places_of
from edgelearn.readout import Readout
from edgelearn.sparsity.matrix import Places, worthwhile
from edgelearn.wiring import Wiring


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
    chance : int, optional
        The key of what the layer does by chance while others learn from it.
    masks : dict of str to array
        Of parameters that are pruned: 1 for a weight that stays, 0 for one that is 0 for good.
        Where `params` are `Kept`, those that are left are all there is, and need none.
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
    chance: int | None = None
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
        block = self.whole()
        for key, mask in masks.items():
            block.params[key][mask == 0] = 0
        return replace(block, masks=masks)

    def compact(self) -> Block:
        """This block with what is left of pruned matrices only, where that is worthwhile.

        So is what the optimiser remembers of them. Other arrays are shared.
        """
        block = self.whole()
        can = block.layer.sparse if isinstance(block.layer, Sparse) else ()
        found = {key: worthwhile(mask) for key, mask in block.masks.items() if key in can}
        places = {key: kept for key, kept in found.items() if kept is not None}
        if not places:
            return block
        return replace(
            block,
            params=Kept(_each(block.params, places, Structure.take), places),
            moments=_each(block.moments, places, Structure.take),
            masks={key: mask for key, mask in block.masks.items() if key not in places},
        )

    def whole(self) -> Block:
        """This block with all weights, and masks of those that are pruned; itself if it has them.

        What the optimiser remembers of weights that are not there is 0.
        """
        places = places_of(self.params)
        if not places:
            return self
        return replace(
            self,
            params=_each(self.params, places, Structure.spread),
            moments=_each(self.moments, places, Structure.spread),
            masks={**self.masks, **{key: kept.structure.mask() for key, kept in places.items()}},
        )

    @property
    def masks_bytes(self) -> int:
        """Bytes of masks, and of the places of weights where only those are held."""
        places = places_of(self.params)
        return sum(m.nbytes for m in self.masks.values()) + sum(p.nbytes for p in places.values())

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

    def with_arrays(self, values: Mapping[str, Array]) -> Block:
        """This block with copies of the `values` that `stored` named, by names of the network."""
        copies = {}
        for key, old in self.stored().items():
            value = values.get(f"{self.name}.{key}")
            if value is None or value.shape != old.shape:
                raise ModelFileError(
                    f"parameter {self.name}.{key}",
                    expected=f"shape {list(old.shape)}, as the recipe says",
                    got="none" if value is None else f"{list(value.shape)}",
                    fix="train the model again",
                )
            copies[key] = value.copy()
        readout = self.readout
        if readout is not None and readout.learns:
            readout = replace(readout, projection=copies["p"])
        params = {key: copies[key] for key in self.params}
        places = places_of(self.params)
        return replace(
            self,
            params=Kept(params, places) if places else params,
            moments={key: copies[key] for key in self.moments},
            readout=readout,
        )


def _each(
    arrays: Params, places: Mapping[str, Places], change: Callable[[Structure, Array], Array]
) -> Params:
    """`arrays` with those changed that are of a matrix in `places`: it, or what is remembered."""
    found = {}
    for name, value in arrays.items():
        kept = places.get(name) or places.get(name.partition(".")[0])
        found[name] = value if kept is None else change(kept.structure, value)
    return found
