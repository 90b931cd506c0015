"""A pruned matrix without its zeros: less memory, and less time from about 80 % zeros on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Mask
from edgelearn.errors import OptionError

BLOCKS = (1, 4)
"""Weights that are stored together: as patterns unstructured and 1x4 keep them."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseMatrix:
    """Weights (fan_in, units), unit by unit, of which those that a mask keeps are stored.

    Attributes
    ----------
    shape : tuple of int
    block : int
        1 or 4 inputs in a row of one unit.
    starts : uint32 array, shape (units + 1,)
        Where each unit begins in `index`.
    index : uint32 array
        Which block of inputs.
    values : float32 array, shape (block * index.size,)
        What learns.
    """

    shape: tuple[int, int]
    block: int
    starts: NDArray[np.uint32]
    index: NDArray[np.uint32]
    values: F32

    @classmethod
    def of(cls, w: F32, mask: Mask, block: int = 1) -> SparseMatrix:
        """`w` where `mask` keeps anything of a block; what it does not keep there is 0, and learns.

        Raises
        ------
        OptionError
            If there are no kernels for such blocks.

        >>> w = np.array([[1, 0], [0, 2], [3, 0]], np.float32)
        >>> SparseMatrix.of(w, (w != 0).astype(np.uint8)).values.tolist()
        [1.0, 3.0, 2.0]
        """
        if block not in BLOCKS:
            raise OptionError(
                f"blocks of {block}", expected="blocks of 1 or 4", got=f"{block}", fix="choose one"
            )
        fan_in, units = w.shape
        blocks = math.ceil(fan_in / block)
        whole = np.zeros((units, blocks * block), np.float32)
        whole[:, :fan_in] = (w * mask).T
        kept = np.zeros((units, blocks * block), np.bool_)
        kept[:, :fan_in] = mask.T
        stays = kept.reshape(units, blocks, block).any(axis=2)
        starts = np.concatenate([[0], np.cumsum(stays.sum(axis=1))]).astype(np.uint32)
        index = np.nonzero(stays)[1].astype(np.uint32)
        return cls(
            (fan_in, units), block, starts, index, whole.reshape(-1, block)[stays.ravel()].ravel()
        )

    @property
    def padded(self) -> int:
        """Inputs up to the end of the last block; those beyond `fan_in` must be 0."""
        return self.block * math.ceil(self.shape[0] / self.block)

    @property
    def nbytes(self) -> int:
        """Bytes of weights and indices."""
        return self.values.nbytes + self.index.nbytes + self.starts.nbytes

    def product(self, x: F32, out: F32) -> None:
        """Write ``x @ w`` to `out` (batch, units); x: (batch, padded)."""
        kernel = kernels.sparse.product if self.block == 1 else kernels.sparse.block_product
        kernel(self.starts, self.index, self.values, x, out)

    def add_outer(self, x: F32, d: F32) -> None:
        """``w += x.T @ d`` where there are weights; x: (batch, padded), d: (batch, units)."""
        kernel = kernels.sparse.add_outer if self.block == 1 else kernels.sparse.block_add_outer
        kernel(self.starts, self.index, x, d, self.values)

    def dense(self) -> F32:
        """The whole matrix, zeros too."""
        unit = np.repeat(np.arange(self.shape[1]), np.diff(self.starts))
        whole = np.zeros((self.shape[1], self.padded // self.block, self.block), np.float32)
        whole[unit, self.index] = self.values.reshape(-1, self.block)
        dense = whole.reshape(self.shape[1], self.padded)[:, : self.shape[0]].T
        return np.ascontiguousarray(dense)
