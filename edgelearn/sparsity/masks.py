"""Masks by magnitude: the blocks of weights with the smallest mean magnitude become 0.

Weights have shape (..., units): what a unit reads is a column. Patterns are named as hardware and
other tools name them, by a matrix with one row a unit:

============== ==========================================================================
pattern        a block is
============== ==========================================================================
unstructured   one weight
1x4, 1x16      4 or 16 inputs in a row of one unit: one vector register
64x1           one input of 64 units in a row: a column group, for gathers of whole rows
neuron         all that a unit reads, of all gates, with its biases: it is 0 from then on
N:M            not blocks: of every M inputs in a row of one unit, the N largest stay (2:4)
============== ==========================================================================

Where a size is no multiple of the block, the matrix is padded with zeros in thought: the last
block holds fewer weights, and is judged and counted by those that there are. Nothing is added.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from edgelearn.arrays import Array, Mask
from edgelearn.errors import OptionError, unknown

BLOCKS = {"unstructured": (1, 1), "1x4": (4, 1), "1x16": (16, 1), "64x1": (1, 64)}
"""Inputs and units of a block."""
NEURON = "neuron"
PATTERNS = (*BLOCKS, NEURON, "2:4")
"""Patterns by name; 2:4 stands for any N:M."""


def fine_grained(pattern: str) -> tuple[int, int] | None:
    """N and M of a pattern such as 2:4, or None.

    Raises
    ------
    OptionError
        If it keeps all or nothing.
    """
    found = re.fullmatch(r"(\d+):(\d+)", pattern)
    if found is None:
        return None
    kept, group = int(found[1]), int(found[2])
    if not 0 < kept < group:
        raise OptionError(
            f"pattern {pattern!r}",
            expected="N:M with N from 1 to M - 1",
            got=f"{kept} of {group} kept",
            fix="write e.g. 2:4",
        )
    return kept, group


def magnitude_masks(
    weights: Mapping[str, Array], sparsity: float, pattern: str, *, together: bool = False
) -> dict[str, Mask]:
    """Masks under which about this share of the weights is 0.

    Parameters
    ----------
    weights : mapping of str to array, each of shape (..., units)
    sparsity : float
        From 0 to less than 1; reached to within half a block. Not used by N:M patterns.
    pattern : str
        One of `BLOCKS`, or N:M.
    together : bool
        Whether the blocks of all matrices are compared with each other, so that one may lose more
        than another; else each has the same sparsity.

    Raises
    ------
    UnknownName, OptionError
        If there is no such pattern, or a matrix would lose all its weights.
    """
    groups = fine_grained(pattern)
    matrices = {name: value.reshape(-1, value.shape[-1]) for name, value in weights.items()}
    if groups is not None:
        found = {name: _largest_of_each(w, *groups) for name, w in matrices.items()}
    elif pattern not in BLOCKS:
        raise unknown("pattern", pattern, PATTERNS)
    else:
        require_sparsity(sparsity)
        block = BLOCKS[pattern]
        scores = {name: block_sums(np.abs(w), block) for name, w in matrices.items()}
        sizes = {name: block_sums(np.ones(w.shape), block) for name, w in matrices.items()}
        kept = _kept(scores, sizes, sparsity, together=together)
        found = {name: spread(kept[name], block, w.shape) for name, w in matrices.items()}
    require_weights(found, together=together)
    return {
        name: np.ascontiguousarray(mask).reshape(weights[name].shape)
        for name, mask in found.items()
    }


def neuron_masks(
    layers: Mapping[str, Mapping[str, Array]],
    units: Mapping[str, int],
    sparsity: float,
    *,
    together: bool = False,
) -> dict[str, Mask]:
    """Masks under which about this share of the units is 0, whatever they read.

    Parameters
    ----------
    layers : mapping of str to mapping of str to array
        By layer, the arrays of its units: each of shape (..., gates * units), biases too.
    units : mapping of str to int
        By layer.
    sparsity, together
        As for `magnitude_masks`.

    Returns
    -------
    dict of str to array
        By names such as ``gru1.w``.
    """
    require_sparsity(sparsity)
    scores, sizes = {}, {}
    for layer, params in layers.items():
        parts = [w.reshape(-1, units[layer]) for w in params.values()]
        scores[layer] = np.abs(np.concatenate(parts)).sum(axis=0)
        sizes[layer] = np.full(units[layer], sum(len(part) for part in parts), np.float64)
    kept = _kept(scores, sizes, sparsity, together=together)
    require_weights(kept, together=together)
    return {
        f"{layer}.{key}": np.broadcast_to(
            np.tile(kept[layer], w.shape[-1] // units[layer]), w.shape
        ).copy()
        for layer, params in layers.items()
        for key, w in params.items()
    }


def sparsity_of(masks: Mapping[str, Array]) -> float:
    """The share of zeros in all of `masks`, or in arrays of weights."""
    total = sum(mask.size for mask in masks.values())
    return 1 - sum(int(np.count_nonzero(mask)) for mask in masks.values()) / max(total, 1)


def require_sparsity(sparsity: float) -> None:
    """Raise `OptionError` unless something would stay."""
    if not 0 <= sparsity < 1:
        raise OptionError(
            f"sparsity {sparsity:g}",
            expected="the share of zeros, from 0 to less than 1",
            got=f"{sparsity:g}, under which no weight stays" if sparsity == 1 else f"{sparsity:g}",
            fix="write e.g. 0.9; to do without a layer, leave it out of the recipe",
        )


def require_weights(masks: Mapping[str, Array], *, together: bool) -> None:
    """Raise `OptionError` if a mask keeps nothing, of matrices cut `together` or each alone."""
    alone = ", or prune each matrix alone" if together else ""
    empty = [name for name, mask in masks.items() if not mask.any()]
    if empty:
        raise OptionError(
            f"mask of {empty[0]!r}",
            expected="a mask that keeps a weight",
            got=f"an empty one: all {masks[empty[0]].size} would be 0",
            fix=f"lower the sparsity, or choose smaller blocks{alone}",
        )


def _padded(values: Array, block: tuple[int, int]) -> Array:
    """Whole blocks, shape (blocks down, inputs, blocks across, units)."""
    rows, columns = (math.ceil(n / size) for n, size in zip(values.shape, block, strict=True))
    whole = np.zeros((rows * block[0], columns * block[1]), values.dtype)
    whole[: values.shape[0], : values.shape[1]] = values
    return whole.reshape(rows, block[0], columns, block[1])


def block_sums(values: Array, block: tuple[int, int]) -> Array:
    """The sum over each block of a matrix."""
    sums: Array = _padded(values, block).sum(axis=(1, 3), dtype=np.float64)
    return sums


def spread(kept: Array, block: tuple[int, int], shape: tuple[int, ...]) -> Array:
    """The mask of a matrix of `shape`, from that of its blocks: 1 or 0."""
    whole: Array = np.kron(kept, np.ones(block, np.uint8))
    return whole[: shape[0], : shape[1]]


def _kept(
    scores: Mapping[str, Array], sizes: Mapping[str, Array], sparsity: float, *, together: bool
) -> dict[str, Mask]:
    """Which blocks stay, 1 or 0: those with the largest mean of magnitudes."""
    every = [list(scores)] if together else [[name] for name in scores]
    return {key: mask for names in every for key, mask in _cut(scores, sizes, sparsity, names)}


def _cut(
    scores: Mapping[str, Array], sizes: Mapping[str, Array], sparsity: float, names: Sequence[str]
) -> list[tuple[str, Mask]]:
    """One cut through all blocks of the matrices `names`."""
    size = np.concatenate([sizes[name].ravel() for name in names])
    mean = np.concatenate([scores[name].ravel() for name in names]) / size
    order = np.argsort(mean, kind="stable")
    zeros = np.concatenate([[0], np.cumsum(size[order])])
    kept = np.ones(len(size), np.uint8)
    kept[order[: int(np.argmin(np.abs(zeros - sparsity * zeros[-1])))]] = 0
    ends = np.cumsum([scores[name].size for name in names])[:-1]
    parts = np.split(kept, ends)
    return [(n, part.reshape(scores[n].shape)) for n, part in zip(names, parts, strict=True)]


def _largest_of_each(w: Array, kept: int, group: int) -> Mask:
    """Of every `group` inputs in a row of a unit, the `kept` largest."""
    blocks = _padded(np.abs(w) + np.finfo(np.float32).tiny, (group, 1))[..., 0]
    rank = np.argsort(np.argsort(-blocks, axis=1, kind="stable"), axis=1, kind="stable")
    whole = (rank < kept).astype(np.uint8).reshape(-1, w.shape[1])
    return np.ascontiguousarray(whole[: len(w)])
