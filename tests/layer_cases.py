"""Every example of every layer, as test cases; a new layer file appears here by itself."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.ir import BATCH, Builder
from edgelearn.layers import examples
from edgelearn.rng import Stream, uniform

CASES = [
    pytest.param(layer, in_shape, batch, id=f"{i}-{layer.kind}-batch{batch}")
    for i, (layer, in_shape) in enumerate(examples())
    for batch in (1, 3, 32)
]


def arrays(layer, in_shape, batch):
    """Parameters, an input, a local error and room for the activation, from fixed seeds."""
    out_shape = layer.out_shape(in_shape)
    params = layer.init(in_shape, 0, 0)
    x = uniform(1, Stream.INIT, 1, (batch, *in_shape), 1.0)
    e = uniform(2, Stream.INIT, 2, (batch, *out_shape), 1.0)
    return params, x, e, np.empty((batch, *out_shape), np.float32)


def update_graph(layer, in_shape, params):
    """Forward pass and local update of one layer alone, its parameters as states."""
    b = Builder("layer")
    x = b.input("x", (BATCH, *in_shape))
    e = b.input("e", (BATCH, *layer.out_shape(in_shape)))
    rate = b.input("rate", ())
    names = {key: b.state(key, value) for key, value in params.items()}
    trace = layer.emit(b, names, x)
    for key, value in layer.emit_update(b, names, trace, e, rate).items():
        b.update(names[key], value)
    return b.graph([b.rename(trace.a, "a")])
