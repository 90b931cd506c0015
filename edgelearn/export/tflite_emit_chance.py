"""Chance in TFLite: the numbers of `edgelearn.rng.drawn` by the operators that runtimes have."""

from __future__ import annotations

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_emitter import TYPES, Emitter
from edgelearn.ir.ops_chance import ALL, Keep

LOW = 1 << 31


def keep(e: Emitter, op: Keep, x: int, step: int, shape: Shape) -> int:
    """The operators of `Keep`, as `edgelearn.export.onnx_functions.keep` has them for ONNX."""
    size = (math.prod(shape),)
    places = np.arange(size[0], dtype=np.int64) * 0x5E3779B9 + op.key % LOW
    y = _mod(e, _add(e, _mul(e, step, _number(e, 0x3504F333), ()), _number(e, places), size), LOW)
    apart = _add(e, _mul(e, step, _number(e, 0x5A827999), ()), _number(e, op.key // LOW), ())
    z = _squared(e, y, y, LOW)
    z = _squared(e, z, _add(e, y, _mod(e, apart, LOW), size), LOW)
    z = e.reshaped(_squared(e, z, y, ALL), shape)
    every, none = (e.constant(np.array(value, np.float32)) for value in (ALL, 0))
    off = e.make("EQUAL", [step, _number(e, 0)], (), schema.EqualOptionsT(), dtype="bool")
    shares = [off, _number(e, ALL), _number(e, op.share)]
    share = e.make("SELECT_V2", shares, (), schema.SelectV2OptionsT(), dtype="int64")
    divisor = _cast(e, share, "float32")
    scale = e.make("DIV", [every, divisor], (), schema.DivOptionsT())
    scaled = e.make("MUL", [x, scale], shape, schema.MulOptionsT())
    kept = e.make("LESS", [z, share], shape, schema.LessOptionsT(), dtype="bool")
    return e.make("SELECT_V2", [kept, scaled, none], shape, schema.SelectV2OptionsT())


def _number(e: Emitter, value: int | Array) -> int:
    return e.constant(np.array(value, np.int64))


def _add(e: Emitter, a: int, b: int, shape: Shape) -> int:
    return e.make("ADD", [a, b], shape, schema.AddOptionsT(), dtype="int64", version=4)


def _mul(e: Emitter, a: int, b: int, shape: Shape) -> int:
    return e.make("MUL", [a, b], shape, schema.MulOptionsT(), dtype="int64", version=5)


def _mod(e: Emitter, a: int, limit: int) -> int:
    inputs, options = [a, _number(e, limit)], schema.FloorModOptionsT()
    return e.make("FLOOR_MOD", inputs, e.shape(a), options, dtype="int64")


def _squared(e: Emitter, x: int, more: int, limit: int) -> int:
    """``(x * x + more) // 4096 % limit``.

    No operator divides int64. But of so many bits as count, moved up until the rest is the lower
    half of an int64, the quotient is the upper half.
    """
    shape = e.shape(x)
    found = _mod(e, _add(e, _mul(e, x, x, shape), more, shape), 4096 * limit)
    found = _mul(e, found, _number(e, 1 << 20), shape)
    halves, options = (*shape, 2), schema.BitcastOptionsT()
    found = e.make("BITCAST", [found], halves, options, dtype="int32")
    inputs = [found, e.ints(0, 1), e.ints(*shape, 1)]
    found = e.make("SLICE", inputs, (*shape, 1), schema.SliceOptionsT(), dtype="int32")
    return e.reshaped(_cast(e, found, "int64"), shape)


def _cast(e: Emitter, a: int, dtype: str) -> int:
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = e.tensors[a].type, TYPES[dtype]
    return e.make("CAST", [a], e.shape(a), options, dtype=dtype)
