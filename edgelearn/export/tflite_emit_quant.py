"""What the operations between numbers and integers are in TFLite."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_emitter import TYPES, Emitter
from edgelearn.ir.interp import evaluate
from edgelearn.ir.ops import Dequantize, Quantize
from edgelearn.ir.ops_quant import RANGES, QuantParams

UNIT = QuantParams((1.0,), (0,))


def integers(e: Emitter, name: str, stored: Array) -> int:
    """The integers of an absorbed value as `stored`; a scale an output is left to `rescaled`."""
    params = e.forms.absorbed[name].params
    one = params if params.axis is None else UNIT
    return e.constant(stored, f"{e.forms.absorbed[name].constant}/outputs_first", one)


def rescaled(e: Emitter, name: str, product: int) -> int:
    """What was made with `integers` of the value `name`, times the scale of each output."""
    if name not in e.forms.absorbed or e.forms.absorbed[name].params.axis is None:
        return product
    scale = e.constant(np.array(e.forms.absorbed[name].params.scale, np.float32))
    return e.make("MUL", [product, scale], e.shape(product), schema.MulOptionsT())


def quantize(e: Emitter, op: Quantize, a: int, shape: Shape) -> int:
    """`Quantize`; step by step where every channel has a scale, which XNNPACK does not know."""
    if op.params.axis is None:
        made = e.make("QUANTIZE", [a], shape, schema.QuantizeOptionsT(), dtype=op.dtype)
        e.scaled(made, op.params)
        return made
    scale, zero_point = _along(op.params, len(shape))
    low, high = RANGES[op.dtype]
    steps = e.make("DIV", [a, e.constant(scale)], shape, schema.DivOptionsT())
    steps = e.make("ROUND", [steps], shape)
    steps = e.make("ADD", [steps, e.constant(zero_point)], shape, schema.AddOptionsT())
    for code, bound in (("MAXIMUM", low), ("MINIMUM", high)):
        limit = e.constant(np.array(bound, np.float32))
        steps = e.make(code, [steps, limit], shape, schema.MaximumMinimumOptionsT())
    return cast(e, steps, shape, op.dtype)


def dequantize(e: Emitter, op: Dequantize, name: str, shape: Shape) -> int:
    """`Dequantize`. Runtimes do it once for a constant, which stays small in the file."""
    value = e.constants.get(name)
    if e.specs[name].dtype == "int32":
        if value is not None:  # no kernel reads it, and it is as large as floats
            return e.constant(evaluate(op, value), f"{name}/float")
        number = cast(e, e.read(name), shape, "float32")
    elif op.params.axis is None:
        return _dequantized(e, name, op.params, shape)
    else:  # XNNPACK fails to run a DEQUANTIZE of int8 with a scale a channel
        number = _dequantized(e, name, UNIT, shape)
    scale, zero_point = _along(op.params, len(shape))
    centred = e.make("SUB", [number, e.constant(zero_point)], shape, schema.SubOptionsT())
    return e.make("MUL", [centred, e.constant(scale)], shape, schema.MulOptionsT())


def _dequantized(e: Emitter, name: str, params: QuantParams, shape: Shape) -> int:
    """The numbers that integers stand for by one scale, which is that of their tensor."""
    inputs, options = [e.said(name, params)], schema.DequantizeOptionsT()
    return e.make("DEQUANTIZE", inputs, shape, options, version=2)


def cast(e: Emitter, a: int, shape: Shape, dtype: str) -> int:
    """Other numbers of the same values, without their fraction where there is no room for one."""
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = e.tensors[a].type, TYPES[dtype]
    return e.make("CAST", [a], shape, options, dtype=dtype)


def _along(params: QuantParams, rank: int) -> tuple[Array, Array]:
    """Scales and zero points as float32 that broadcast against a tensor of that rank."""
    both = np.array([params.scale, params.zero_point], np.float32)
    if params.axis is None:
        return both[0, 0], both[1, 0]
    shape = (-1,) + (1,) * (rank - 1 - params.axis)
    return both[0].reshape(shape), both[1].reshape(shape)
