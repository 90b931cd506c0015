"""Where the weights of a pruned matrix are, as kernels read it, and products with them.

The weights themselves are a vector: a parameter like any other, which an optimiser moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Mask
from edgelearn.errors import OptionError
from edgelearn.ir.structure import BLOCKS, Structure, fits

DENSEST: Mapping[int, float] = {1: 0.125, 4: 0.2}
"""By size of block the largest share of stored weights.

With so many, product and update of a small matrix (128 units, one sample) take together about as
long as dense ones, and less in larger matrices: ``tools/speed_sparse.py``.
"""
LEAST_BYTES = 1024
"""What a matrix must save to be worth two indirections."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The places of the weights that are kept of one matrix (fan_in, units).

    Attributes
    ----------
    structure : Structure
    starts : uint32 array, shape (units + 1,)
    index : uint16 array, shape (stored blocks,)

    Examples
    --------
    >>> w = np.float32([[1, 0], [0, 2], [3, 0]])
    >>> places = Places.of((w != 0).astype(np.uint8), 1)
    >>> z = np.empty((1, 2), np.float32)
    >>> places.product(places.structure.take(w), np.float32([[1, 1, 1]]), z)
    >>> z.tolist()
    [[4.0, 2.0]]
    """

    structure: Structure
    starts: NDArray[np.uint32]
    index: NDArray[np.uint16]

    @classmethod
    def of(cls, mask: Mask, block: int) -> Places:
        """Every block of which `mask` keeps anything; whole blocks make up its inputs.

        Raises
        ------
        OptionError
            If they do not, or there are no kernels for such blocks.
        """
        if block not in BLOCKS or len(mask) % block:
            raise OptionError(
                f"blocks of {block}",
                expected="blocks of 1, or of 4 for a multiple of 4 inputs",
                got=f"{len(mask)} inputs",
                fix="choose blocks of 1",
            )
        s = Structure.of(mask, block)
        index = s.index.astype(np.uint16)
        s = Structure(s.shape, block, s.starts, index)
        return cls(s, s.starts.view(np.uint32), index)

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.starts.nbytes + self.index.nbytes

    def product(self, values: F32, x: F32, out: F32) -> None:
        """Write ``x @ w`` to `out`; x: (batch, fan_in), out: (batch, units), values: (size,)."""
        one = self.structure.block == 1
        kernel = kernels.sparse.product if one else kernels.sparse.block_product
        kernel(self.starts, self.index, values, x, out)

    def add_outer(self, values: F32, x: F32, d: F32) -> None:
        """Add ``x.T @ d`` to `values`, where there are weights; d: (batch, units)."""
        one = self.structure.block == 1
        kernel = kernels.sparse.add_outer if one else kernels.sparse.block_add_outer
        kernel(self.starts, self.index, x, d, values)


def worthwhile(mask: Mask) -> Places | None:
    """The places that `mask` keeps, if that saves memory and costs no time.

    In the blocks that need the fewest bytes; none holds a weight that `mask` does not keep.
    """
    found, most = None, 4 * mask.size - LEAST_BYTES
    for block in BLOCKS:
        if not fits(mask.shape, block) or len(mask) % block:
            continue
        places = Places.of(mask, block)
        size = places.structure.size
        need = 4 * size + places.nbytes
        exact = np.array_equal(places.structure.mask() != 0, mask != 0)
        if exact and need <= most and size <= DENSEST[block] * mask.size:
            found, most = places, need
    return found
