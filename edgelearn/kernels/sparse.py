"""Weights of which most are 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelearn.kernels._jit import F32, kernel


@kernel
def hold(mask: NDArray[np.uint8], w: F32) -> None:
    """Onto `w`: 0 where `mask` is 0; both flat."""
    zero = w.dtype.type(0)
    for i in range(w.size):
        if mask[i] == 0:
            w[i] = zero
