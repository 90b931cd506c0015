"""Pools in TFLite."""

from __future__ import annotations

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_emit_spatial import padded, slide
from edgelearn.export.tflite_emitter import Emitter
from edgelearn.ir.ops_spatial import Pool2d

POOL = {"max": "MAX_POOL_2D", "avg": "AVERAGE_POOL_2D"}


def pool2d(e: Emitter, op: Pool2d, x: int, shape: Shape) -> int:
    """`Pool2d`. Padding that is not SAME is made before, and a mean is corrected for it."""
    options = schema.Pool2DOptionsT()
    options.filterHeight, options.filterWidth = op.kernel
    inner = e.shape(x)[1:3]
    dtype = e.dtype(x)
    fill = np.array(0 if op.kind == "avg" else _lowest(dtype), dtype)
    x, padding = padded(e, x, op.pads, op.strides, op.kernel, fill)
    slide(options, padding, op.strides)
    version = 1 if dtype == "float32" else 2
    pooled = e.make(POOL[op.kind], [x], shape, options, dtype=dtype, version=version)
    if op.kind == "max" or e.shape(x)[1:3] == inner:
        return pooled
    whole = np.float32(math.prod(op.kernel)) / _real_elements(op, inner, shape[1:3])
    return e.make("MUL", [pooled, e.constant(whole)], shape, schema.MulOptionsT())


def _lowest(dtype: str) -> float:
    return -math.inf if dtype == "float32" else np.iinfo(dtype).min


def _real_elements(op: Pool2d, size: Shape, places: Shape) -> Array:
    """How many elements of each window are no padding: (1, places, 1)."""
    counts = []
    for axis in (0, 1):
        start = np.arange(places[axis]) * op.strides[axis] - op.pads[axis]
        stop = np.minimum(start + op.kernel[axis], size[axis])
        counts.append((stop - np.maximum(start, 0)).astype(np.float32))
    return np.multiply.outer(counts[0], counts[1])[None, :, :, None]
