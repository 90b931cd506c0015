"""The NumPy meaning of the operations between real numbers and integers, in float32."""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir.ops_quant import RANGES, Dequantize, Quantize, QuantParams


def quantize(op: Quantize, a: Array) -> Array:
    """`Quantize` of float32 `a`.

    >>> op = Quantize(QuantParams((0.5,), (1,)))
    >>> quantize(op, np.float32([-100, 0.25, 0.75, 100])).tolist()
    [-128, 1, 3, 127]
    """
    scale, zero_point = _beside(op.params, a)
    low, high = RANGES[op.dtype]
    with np.errstate(over="ignore"):  # an infinite quotient saturates as well
        nearest = np.rint(a / scale) + zero_point.astype(np.float32)
    value: Array = np.clip(nearest, low, high).astype(op.dtype)
    return value


def dequantize(op: Dequantize, a: Array) -> Array:
    """`Dequantize` of integers `a`.

    >>> op = Dequantize(QuantParams((0.5,), (1,)))
    >>> dequantize(op, np.int8([-128, 1, 3])).tolist()
    [-64.5, 0.0, 1.0]
    """
    scale, zero_point = _beside(op.params, a)
    value: Array = (a - zero_point).astype(np.float32) * scale
    return value


def _beside(params: QuantParams, a: Array) -> tuple[Array, Array]:
    """Scale and zero point as arrays that broadcast along the axis they belong to."""
    shape = [1] * a.ndim
    if params.axis is not None:
        shape[params.axis] = len(params.scale)
    scale, zero_point = np.array(params.scale, np.float32), np.array(params.zero_point, np.int32)
    return scale.reshape(shape), zero_point.reshape(shape)
