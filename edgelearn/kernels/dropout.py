"""Elements that are dropped by chance: which ones follows from a key and a step alone."""

from __future__ import annotations

import numpy as np

from edgelearn.kernels._jit import F32, kernel


@kernel
def drop(x: F32, low: int, high: int, step: int, share: int, scale: np.float32, out: F32) -> None:
    """Elements of `x`, flat, times `scale`, or 0; all of `x` in step 0.

    Number n is kept if number n of `edgelearn.rng.drawn` is below `share`; the key is `low`
    and `high`, 31 bits each.
    """
    ones = (1 << 31) - 1
    first, apart = low + step * 0x3504F333, (high + step * 0x5A827999) & ones
    for n in range(x.size):
        y = (first + n * 0x5E3779B9) & ones
        z = ((y * y + y) >> 12) & ones
        z = ((z * z + y + apart) >> 12) & ones
        z = ((z * z + y) >> 12) & 0xFFFFFF
        kept = scale if z < share else x.dtype.type(0)
        out[n] = x[n] if step == 0 else x[n] * kept
