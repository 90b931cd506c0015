"""One `learn` of a recurrent layer, for tests."""

from __future__ import annotations

import numpy as np
from layer_cases import scratch

from edgelearn.layers import Lesson
from edgelearn.losses import LOSSES
from edgelearn.readout import Readout, Workspace
from edgelearn.targets import projection

CLASSES = 3


def readout_of(layer, in_shape, *, learns=True, loss="cross_entropy"):
    view = layer.view(in_shape)
    p = projection("gauss", CLASSES, view.size, 2.0, 0, 0)
    return Readout(view, LOSSES[loss], p, learns)


def learned(layer, params, x, labels, readout, rate, into):
    """Activation and summed loss of one `learn`; `into` moves."""
    in_shape, batch = x.shape[1:], len(x)
    rows, size = layer.readout_rows(in_shape, batch), layer.view(in_shape).size
    space = Workspace(
        np.empty((rows, 0), np.float32),
        np.empty((rows, size), np.float32),
        np.empty((rows, CLASSES), np.float32),
        np.zeros(2, np.float32),
    )
    out = np.full((batch, *layer.out_shape(in_shape)), np.nan, np.float32)
    room = scratch(layer, in_shape, batch)
    lesson = Lesson(labels, readout, rate, into, room, space)
    return layer.learn(params, x, out, lesson).a, float(space.loss[0])
