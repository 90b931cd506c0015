"""What the ONNX ops of integers are in the Graph; see `edgelearn.export.onnx_arms`.

Products of integers become products of the numbers they mean, between `Dequantize` and `Quantize`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgelearn.arrays import Array
from edgelearn.export.onnx_arms import Arm, constant
from edgelearn.export.onnx_arms_spatial import HWIO, NHWC, conv2d_of, image
from edgelearn.export.onnx_fold import refused
from edgelearn.export.onnx_load import OnnxNode
from edgelearn.export.onnx_values import Order, Values
from edgelearn.ir.ops import Binary, Dequantize, MatMul, Quantize
from edgelearn.ir.ops_quant import QuantDType, QuantParams
from edgelearn.ir.tensor import BATCH

QUANTISED: dict[str, QuantDType] = {"int8": "int8", "uint8": "uint8"}


def _params(v: Values, n: OnnxNode, first: int, axis: int) -> tuple[QuantParams, str]:
    """Scale and zero point from the inputs `first` and after it; the dtype of the latter."""
    scale, zero_point = constant(v, n, first), constant(v, n, first + 1)
    if scale is None or scale.dtype != np.float32 or scale.ndim > 1:
        raise refused("one float32 scale, or one for each position of an axis", "another")
    if zero_point is None:
        zero_point = np.zeros(scale.shape, np.uint8)
    several = axis if scale.size > 1 else None
    numbers = tuple(scale.ravel().tolist()), tuple(zero_point.ravel().tolist())
    return QuantParams(*numbers, several), zero_point.dtype.name


def _axis(v: Values, n: OnnxNode) -> int:
    if n.attributes.get("block_size", 0):
        raise refused("one scale, or one for each position of an axis", "blocks with scales")
    return int(n.attributes.get("axis", 1)) % max(len(v.shape(n.inputs[0])), 1)


def _held(params: QuantParams, order: Order) -> QuantParams:
    """The same where the axes are held in another order."""
    return params if params.axis is None else replace(params, axis=order.index(params.axis))


def _order(v: Values, name: str) -> Order:
    """The order in which a value is best read: filters are held as the Graph has them."""
    is_filters = name in v.constants and v.constants[name].ndim == 4
    return HWIO if is_filters else v.order(name)


def _quantize(v: Values, n: OnnxNode, _: int) -> None:
    params, dtype = _params(v, n, 1, _axis(v, n))
    order = v.order(n.inputs[0])
    op = Quantize(_held(params, order), _quantised(dtype))
    v.define(n.out, op, [v.read(n.inputs[0], order)], order)


def _quantised(dtype: str) -> QuantDType:
    if dtype not in QUANTISED:
        raise refused("integers of int8 or uint8", dtype)
    return QUANTISED[dtype]


def _dequantize(v: Values, n: OnnxNode, _: int) -> None:
    params, _dtype = _params(v, n, 1, _axis(v, n))
    order = _order(v, n.inputs[0])
    v.define(n.out, Dequantize(_held(params, order)), [v.read(n.inputs[0], order)], order)


def _meaning(v: Values, n: OnnxNode, position: int, axis: int, order: Order | None = None) -> str:
    """What the integers at `position` mean, given scale and zero point in the inputs after them."""
    name = n.inputs[position]
    params, _dtype = _params(v, n, position + 1, axis)
    order = order or tuple(range(len(v.shape(name))))
    return v.step(n.out, Dequantize(_held(params, order)), v.read(name, order))


def _conv(v: Values, n: OnnxNode, _: int) -> None:
    """QLinearConv: x, scale, zero, w, scale, zero, scale, zero, and an int32 bias perhaps."""
    if BATCH in v.shape(n.inputs[3]):
        raise refused("filters of known size", f"shape {list(v.shape(n.inputs[3]))}")
    op = conv2d_of(n, v.shape(n.inputs[0])[2:], v.shape(n.inputs[3])[2:])
    image(v, n.inputs[0])
    made = v.step(n.out, op, _meaning(v, n, 0, 1, NHWC), _meaning(v, n, 3, 0, HWIO))
    bias = constant(v, n, 8)
    if bias is not None:
        made = v.step(n.out, Binary("add"), made, _bias(v, n, bias))
    params, dtype = _params(v, n, 6, 1)
    v.define(n.out, Quantize(_held(params, NHWC), _quantised(dtype)), [made], NHWC)


def _bias(v: Values, n: OnnxNode, bias: Array) -> str:
    """A bias whose scale is the product of those of what it is added to."""
    scales = [v.constants[n.inputs[i]].astype(np.float32).ravel() for i in (1, 4)]
    scale = np.broadcast_to(scales[0] * scales[1], bias.shape)
    params = QuantParams(tuple(scale.tolist()), (0,) * scale.size, 0)
    return v.step(n.out, Dequantize(params), v.array(n.inputs[8], bias))


def _matmul(v: Values, n: OnnxNode, _: int) -> None:
    """QLinearMatMul: a, scale, zero, b, scale, zero, scale, zero."""
    made = v.step(n.out, MatMul(), _meaning(v, n, 0, 0), _meaning(v, n, 3, 1))
    params, dtype = _params(v, n, 6, 1)
    v.define(n.out, Quantize(params, _quantised(dtype)), [made])


QUANT_ARMS: dict[str, Arm] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
}
