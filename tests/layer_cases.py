"""Every example of every layer, as test cases; a new layer file appears here by itself."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.ir import BATCH, Builder
from edgelearn.ir.ops import Reshape
from edgelearn.layers import Learner, examples
from edgelearn.rng import Stream, uniform
from edgelearn.views import Whole

CASES = [
    pytest.param(layer, in_shape, batch, id=f"{i}-{layer.kind}-batch{batch}")
    for i, (layer, in_shape) in enumerate(examples())
    for batch in (1, 3, 32)
]
LEARNERS = [case for case in CASES if isinstance(case.values[0], Learner)]


def scratch(layer, in_shape, batch):
    """Work space, poisoned: nothing may be read before it was written."""
    return np.full(layer.scratch_size(in_shape, batch), np.nan, np.float32)


def coarse(layer, in_shape, e):
    """The error that `update` takes, from that of what a readout sees."""
    return seen(layer, in_shape).back(e.copy())


def seen(layer, in_shape):
    """What a readout sees of the activation."""
    is_learner = isinstance(layer, Learner)
    return layer.view(in_shape) if is_learner else Whole(layer.out_shape(in_shape))


def is_head(layer):
    return getattr(layer, "activation", None) == "softmax"


def arrays(layer, in_shape, batch):
    """Parameters, an input, an error of what a readout sees, room for the activation."""
    out_shape = layer.out_shape(in_shape)
    params = layer.init(in_shape, 0, 0)
    x = uniform(1, Stream.INIT, 1, (batch, *in_shape), 1.0)
    if getattr(layer, "masked", False):
        x[..., -1] = x[..., -1] > -0.5
    if vocabulary := getattr(layer, "vocabulary", None):
        tokens = x[..., 0] if layer.masked else x
        tokens[:] = np.floor(vocabulary * (tokens + 1) / 2)
    e = uniform(2, Stream.INIT, 2, (batch, seen(layer, in_shape).size), 1.0)
    return params, x, e, np.empty((batch, *out_shape), np.float32)


def update_graph(layer, in_shape, params):
    """Forward pass and local update of one layer alone, its parameters as states."""
    b = Builder("layer")
    x = b.input("x", (BATCH, *in_shape))
    view = seen(layer, in_shape)
    e = view.emit_back(b, b.input("e", (BATCH, view.size)))
    rate = b.input("rate", ())
    if not isinstance(layer, Learner):
        frozen = {key: b.constant(key, value) for key, value in params.items()}
        a = layer.emit(b, frozen, x).a
        if a == x:  # it does nothing: a Graph needs a node
            a = b.apply(Reshape(b.specs[x].shape), x)
        return b.graph([b.rename(a, "a")])
    names = {key: b.state(key, value) for key, value in params.items()}
    trace = layer.emit(b, names, x)
    for key, value in layer.emit_update(b, names, trace, e, rate, names).items():
        b.update(names[key], value)
    return b.graph([b.rename(trace.a, "a")])
