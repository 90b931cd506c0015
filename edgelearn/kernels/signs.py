"""Numbers of the counter-based generator of `edgelearn.rng`, as signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelearn.kernels._jit import F32, kernel


@kernel
def signs(key: NDArray[np.uint64], first: int, size: float, out: F32) -> None:
    """Onto `out`: +-`size`, by the numbers from `first` on of the stream with that `key`, (1,).

    A sign is that of ``cos(2 pi u)`` with u the number over 2^64, as Box and Muller's transform has
    it: of the upper two bits one alone is set where it is negative.
    """
    plus, minus = out.dtype.type(size), out.dtype.type(-size)
    golden = np.uint64(0x9E3779B97F4A7C15)
    place = key[0] + np.uint64(first) * golden
    for n in range(out.shape[0]):
        for j in range(out.shape[1]):
            place += golden
            z = (place ^ (place >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            out[n, j] = (
                minus if ((z >> np.uint64(63)) ^ (z >> np.uint64(62))) & np.uint64(1) else plus
            )
