"""What the time of a kernel is made of: amounts, each with a price that a calibration tells.

The time of a kernel is the sum of its amounts times their prices in seconds, and the time of a
run the sum over its kernels. A sum, not the larger of arithmetic and memory: on in-order cores
the two hardly overlap, and held-out measurements are predicted better so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from edgelearn.arrays import Array
from firmware_sim.workload import Kernel

Precision: TypeAlias = Literal["float32", "int8"]
Amount: TypeAlias = Literal[
    "stem",
    "conv3x3",
    "conv",
    "grouped",
    "pointwise",
    "depthwise",
    "dense",
    "elementwise",
    "pool",
    "move",
    "activations",
    "weights",
    "transform",
    "unaligned4",
    "unaligned8",
    "start",
]
AMOUNTS: Final[tuple[Amount, ...]] = get_args(Amount)
"""By the kind of kernel: multiply-accumulates, padded to whole vectors; bytes where nothing is
multiplied. Then bytes of activations and of weights that products read and write; elements that
Winograd's algorithm transforms; multiply-accumulates on channels that fill no vector of four,
and of eight; starts."""
ARITHMETIC: Final = ("stem", "conv3x3", "conv", "grouped", "pointwise", "depthwise", "dense",
                     "transform", "unaligned4", "unaligned8")  # fmt: skip
"""The amounts that cost arithmetic; the others but for `start` cost memory traffic."""
_CONVOLUTIONS: Final = ("conv3x3", "conv", "grouped", "pointwise")
_PRODUCTS: Final = ("stem", *_CONVOLUTIONS, "depthwise", "dense")
_LANES: Final = 4
_INDEX: Final = {amount: i for i, amount in enumerate(AMOUNTS)}


def amounts(kernels: Sequence[Kernel], precision: Precision) -> Array:
    """One row for each kernel, one column for each of `AMOUNTS`.

    >>> from firmware_sim.workload import Kernel
    >>> dense = Kernel("y", "MatMul", "dense", 640, 64, 640, 10, fan_in=64, fan_out=10)
    >>> row = amounts([dense], "int8")[0]
    >>> [(a, int(n)) for a, n in zip(AMOUNTS, row) if n]
    [('dense', 768), ('activations', 74), ('weights', 640), ('start', 1)]
    """
    table = np.zeros((len(kernels), len(AMOUNTS)))
    for row, kernel in zip(table, kernels, strict=True):
        for amount, number in _amounts(kernel, 4 if precision == "float32" else 1).items():
            row[_INDEX[amount]] = number
    return table


def _amounts(kernel: Kernel, itemsize: int) -> dict[Amount, float]:
    moved = itemsize * (kernel.inputs + kernel.outputs)
    if kernel.kind not in _PRODUCTS:
        return {kernel.kind: moved, "start": 1}
    found: dict[Amount, float] = {
        kernel.kind: kernel.macs * _padding(kernel),
        "activations": moved,
        "weights": itemsize * kernel.weights,
        "start": 1,
    }
    if kernel.kind == "conv3x3":
        found["transform"] = kernel.positions * (kernel.fan_in + kernel.fan_out)
    if kernel.kind in _CONVOLUTIONS:
        channels = (kernel.fan_in * kernel.groups, kernel.fan_out * kernel.groups)
        if any(n % 4 for n in channels):
            found["unaligned4"] = kernel.macs
        elif any(n % 8 for n in channels):
            found["unaligned8"] = kernel.macs
    return found


def _padding(kernel: Kernel) -> float:
    """How much more a kernel computes that fills its vectors with what is not there."""
    if kernel.kind == "depthwise":
        return _filled(kernel.groups)
    return _filled(kernel.fan_out) * _filled(kernel.fan_in * kernel.taps)


def _filled(length: int) -> float:
    return math.ceil(length / _LANES) * _LANES / length
