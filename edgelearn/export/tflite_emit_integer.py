"""Products of integers in TFLite: what `edgelearn.export.tflite_forms` finds, as one operator."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_emit_spatial import OHWI, sliding
from edgelearn.export.tflite_emitter import Emitter
from edgelearn.export.tflite_forms import IntegerProduct
from edgelearn.ir.ops import Conv2d, MatMul
from edgelearn.ir.ops_quant import QuantParams

RELU = schema.ActivationFunctionType.RELU


def integer_product(e: Emitter, product: IntegerProduct, shape: Shape) -> int:
    """The operator that reads int8 and makes int8, with sums of int32 between."""
    op, weights = product.node.op, e.forms.absorbed[product.node.inputs[1]]
    x, w = e.said(product.x.constant, product.x.params), e.constants[weights.constant]
    bias = _bias(e, product, weights.params, shape[-1])
    if isinstance(op, Conv2d):
        window = sliding(e, op, x, w.shape[:2], shape)
        stored = w.reshape(window.filters) if window.filters else w.transpose(OHWI)
        axis = 3 if window.filters else 0
        inputs = [window.x, _weights(e, stored, weights.params, axis), bias]
        code, options, version = window.code, window.options, max(3, window.version)
    else:
        is_turned = isinstance(op, MatMul) and op.transpose_b
        stored = w if is_turned else w.T
        inputs = [x, _weights(e, stored, weights.params, 0), bias]
        code, options, version = "FULLY_CONNECTED", schema.FullyConnectedOptionsT(), 4
    if product.relu:
        options.fusedActivationFunction = RELU
    made = e.make(code, inputs, shape, options, dtype="int8", version=version)
    e.scaled(made, product.params)
    return made


def _weights(e: Emitter, stored: Array, params: QuantParams, axis: int) -> int:
    kept = params if params.axis is None else QuantParams(params.scale, params.zero_point, axis)
    return e.constant(stored, "", kept)


def _bias(e: Emitter, product: IntegerProduct, weights: QuantParams, units: int) -> int:
    """int32 with the scale of the sums; zeros where there is none."""
    x = np.float32(product.x.params.scale[0])
    scale = (x * np.array(weights.scale, np.float32)).tolist()
    params = QuantParams(tuple(scale), (0,) * len(scale), None if weights.axis is None else 0)
    value = np.zeros(units, np.int32) if product.bias is None else e.constants[product.bias]
    return e.constant(value, "", params)
