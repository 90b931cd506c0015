"""Parameters of which some hold only the weights that are left of a pruned matrix."""

from __future__ import annotations

from collections.abc import Mapping

from edgelearn.arrays import F32
from edgelearn.layers._base import Params
from edgelearn.sparsity.matrix import Places


class Kept(dict[str, F32]):
    """Parameters by name; those in `places` are vectors of weights that are there."""

    def __init__(self, values: Params, places: Mapping[str, Places]) -> None:
        super().__init__(values)
        self.places = places


def places_of(params: Params) -> Mapping[str, Places]:
    """Where the weights are of those that are vectors of what is left."""
    return params.places if isinstance(params, Kept) else {}
