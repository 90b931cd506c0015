"""ONNX files made for tests."""

from __future__ import annotations

import numpy as np

from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import Builder
from edgelearn.ir.ops import Conv2d


def convolutions(path, blocks):
    """Write `blocks` convolutions of 64 channels, each with a relu: two nodes a block."""
    b = Builder("tall")
    x = b.input("x", (1, 28, 28, 64))
    for _ in range(blocks):
        w = b.constant(b.fresh("w"), np.zeros((3, 3, 64, 64), np.float32))
        x = b.unary("relu", b.apply(Conv2d(pads=(1, 1, 1, 1)), x, w))
    path.write_bytes(to_bytes(b.graph([x])))
