"""Between real numbers and integers in C."""

from __future__ import annotations

import math

import numpy as np

from edgelearn.export.c_emitter import C_TYPES, Emitter
from edgelearn.export.c_moves import WHOLE
from edgelearn.export.c_text import Helper, helper
from edgelearn.ir import TensorSpec
from edgelearn.ir.ops_quant import RANGES, Dequantize, Quantize, QuantParams

_QUANTIZE = """
/* The nearest integer of a / scale, a half to the even one: adding 1.5 * 2^23 rounds so. */
static void quantize_{dtype}(const float *a, void *to, int outer, int positions, int inner,
                          const float *scale, const int32_t *zero)
{{
    {type} *out = ({type} *)to;
    int i, j, k;
    for (i = 0; i < outer; i++)
        for (j = 0; j < positions; j++)
            for (k = 0; k < inner; k++) {{
                float q = *a++ / scale[j];
                q = q > 1000.0f ? 1000.0f : q < -1000.0f ? -1000.0f : q;
                q = (q + 12582912.0f) - 12582912.0f + (float)zero[j];
                *out++ = ({type})(q > {high}.0f ? {high}.0f : q < {low}.0f ? {low}.0f : q);
            }}
}}
"""

_DEQUANTIZE = """
static void dequantize_{dtype}(const void *from, float *out, int outer, int positions, int inner,
                            const float *scale, const int32_t *zero)
{{
    int i, j, k, n = 0;
    for (i = 0; i < outer; i++)
        for (j = 0; j < positions; j++)
            for (k = 0; k < inner; k++, n++)
                out[n] = (float)({element} - zero[j]) * scale[j];
}}
"""


def _quantize(dtype: str) -> Helper:
    low, high = RANGES[dtype]
    return helper(_QUANTIZE.format(dtype=dtype, type=C_TYPES[dtype], low=low, high=high))


def _dequantize(dtype: str) -> Helper:
    if dtype == "int32":
        return helper(_DEQUANTIZE.format(dtype=dtype, element="(int32_t)whole(from, n, 4)"), WHOLE)
    return helper(_DEQUANTIZE.format(dtype=dtype, element=f"((const {C_TYPES[dtype]} *)from)[n]"))


def quantize(e: Emitter, op: Quantize, spec: TensorSpec, source: str, out: str) -> None:
    """`Quantize` of a value of `spec`."""
    e.call(_quantize(op.dtype), source, out, *_arguments(e, op.params, spec))


def dequantize(e: Emitter, op: Dequantize, spec: TensorSpec, source: str, out: str) -> None:
    """`Dequantize` of a value of `spec`."""
    e.call(_dequantize(spec.dtype), source, out, *_arguments(e, op.params, spec))


def _arguments(e: Emitter, params: QuantParams, spec: TensorSpec) -> tuple[object, ...]:
    """Elements before, along and behind the axis; the names of scales and zero points."""
    axis, shape = params.axis, spec.shape
    outer = 1 if axis is None else math.prod(shape[:axis])
    inner = spec.size if axis is None else math.prod(shape[axis + 1 :])
    scales = e.table("float", *(str(np.float32(scale)) + "f" for scale in params.scale))
    return outer, len(params.scale), inner, scales, e.table("int32_t", *params.zero_point)
