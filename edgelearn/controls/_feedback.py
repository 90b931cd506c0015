"""The fixed random matrices of feedback alignment."""

from __future__ import annotations

import math

from edgelearn.arrays import F32
from edgelearn.network import Network
from edgelearn.rng import Stream, uniform


def feedback(network: Network, seed: int) -> dict[str, F32]:
    """What stands for every weight that learns, such as ``dense1.w``: its shape and scale.

    It follows from `seed` and the place of the weight in the network.
    """
    found = {}
    for index, block in enumerate(network.blocks):
        weights = {key: value for key, value in block.learned().items() if value.ndim > 1}
        for place, (key, value) in enumerate(weights.items()):
            limit = math.sqrt(3 / math.prod(value.shape[:-1]))
            number = index + place * len(network.blocks)
            drawn = uniform(seed, Stream.FEEDBACK, number, value.shape, limit)
            found[f"{block.name}.{key}"] = drawn
    return found
