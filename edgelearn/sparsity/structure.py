"""A recurrent layer that is sparse from the start, as a recipe says it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edgelearn.arrays import F32, Mask
from edgelearn.errors import ConfigError
from edgelearn.sparsity.graphs import GraphKind, draw, recurrent_mask


class Structure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which units of a recurrent layer read each other: the edges of a random graph.

    Parameters
    ----------
    graph : {"watts_strogatz", "barabasi_albert"}
    links : int
        Neighbours of a unit in the ring, or of each new unit.
    rewire : float
        The share of links of the ring that are moved.
    """

    graph: GraphKind
    links: Annotated[int, msgspec.Meta(ge=1)] = 4
    rewire: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0

    def mask(self, u: F32 | None, layer: str, seed: int, index: int) -> Mask:
        """The mask of the recurrent weights `u` (units, gates * units) of `layer`.

        Raises
        ------
        ConfigError
            If it has none, or there is no such graph of as many units.
        """
        if u is None or u.shape[1] % len(u):
            raise ConfigError(
                f"layer {layer!r}, structure",
                expected="a recurrent layer with weights from unit to unit",
                got="one without",
                fix="leave out structure, or use e.g. kind = 'gru'",
            )
        graph = draw(self.graph, len(u), self.links, self.rewire, seed, index)
        return recurrent_mask(graph, u.shape[1] // len(u))
