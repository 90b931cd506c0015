"""Local updates against reverse mode: each is the gradient of its own local loss, nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import arrays, is_head
from tolerances import ENGINE_F32

from edgelearn.ir import BATCH, Builder, run
from edgelearn.layers import Learner, SequenceLearner, examples
from edgelearn.losses import CrossEntropy, Likelihood
from edgelearn.passes.backward import Backward
from edgelearn.readout import Readout
from edgelearn.targets import projection

CLASSES, SAMPLES, RATE = 4, 3, 0.5


def cases(protocol, fits=lambda _: True):
    return [
        pytest.param(layer, in_shape, id=f"{i}-{layer.kind}")
        for i, (layer, in_shape) in enumerate(examples())
        if isinstance(layer, protocol) and fits(layer)
    ]


class Both:
    """One layer under construction: its local update, and what reverse mode makes of its loss."""

    def __init__(self, layer, in_shape):
        self.layer, self.b = layer, Builder("both")
        self.params, self.samples, _, _ = arrays(layer, in_shape, SAMPLES)
        self.x = self.b.input("x", (BATCH, *in_shape))
        self.y = self.b.input("y", (BATCH,), "int64")
        self.rate = self.b.input("rate", ())
        fixed = getattr(layer, "constants", ())
        self.names = {k: self.b.state(k, v) for k, v in self.params.items() if k not in fixed}
        self.names |= {k: self.b.constant(k, v) for k, v in self.params.items() if k in fixed}

    def readout(self, view):
        p = projection("gauss", CLASSES, view.size, 2.0, 0, 0)
        return Readout(view, CrossEntropy(), p, learns=False), self.b.constant("p", p)

    def back(self, value, slope, nodes):
        """What the parameters are after a step down the loss with this slope by `value`."""
        learned = {k: v for k, v in self.names.items() if k in self.learned()}
        back = Backward(self.b, list(learned.values()))
        back.send(value, slope)
        return back.walk(nodes, self.rate, {v: v for v in learned.values()})

    def learned(self):
        return self.params.keys() - set(getattr(self.layer, "constants", ()))

    def compare(self, local, by_reverse):
        outputs = [*(local[k] for k in self.learned()), *(by_reverse[k] for k in self.learned())]
        classes = self.layer.units if is_head(self.layer) else CLASSES
        feeds = {
            "x": self.samples,
            "y": np.arange(SAMPLES, dtype=np.int64) % classes,
            "rate": np.array(RATE, np.float32),
        }
        found = run(self.b.graph(outputs), feeds).outputs
        for key in self.learned():
            np.testing.assert_allclose(
                found[local[key]], found[by_reverse[key]], atol=ENGINE_F32, err_msg=key
            )
        assert any((found[local[key]] != self.params[key]).any() for key in self.learned())


@pytest.mark.parametrize(("layer", "in_shape"), cases(Learner))
def test_learners(layer, in_shape):
    both = Both(layer, in_shape)
    b = both.b
    trace = layer.emit(b, both.names, both.x)
    if is_head(layer):
        error, _ = Likelihood().emit_error(b, trace.a, both.y, None)
        (softmax,) = (node for node in b.nodes if node.output == trace.a)
        by_reverse = both.back(softmax.inputs[0], error, list(b.nodes))
    else:
        readout, p = both.readout(layer.view(in_shape))
        error = readout.emit_error(b, trace.a, both.y, p).error
        scores = readout.emit_scores(b, trace.a, p)
        nodes = list(b.nodes)
        by_reverse = both.back(scores, CrossEntropy().emit_slope(b, scores, both.y), nodes)
    local = layer.emit_update(b, both.names, trace, error, both.rate, both.names)
    both.compare(local, by_reverse)


def through_time(layer, in_shape):
    both = Both(layer, in_shape)
    b = both.b
    readout, p = both.readout(layer.view(in_shape))
    a = layer.emit(b, both.names, both.x).a
    scores = readout.emit_scores(b, layer.emit_judged(b, a), p)
    nodes = list(b.nodes)
    by_reverse = both.back(scores, CrossEntropy().emit_slope(b, scores, both.y), nodes)
    learning = layer.emit_learn(b, both.names, both.x, both.y, readout, p)
    both.compare(learning.descend(both.rate, both.names), by_reverse)


@pytest.mark.parametrize(("layer", "in_shape"), cases(SequenceLearner, lambda x: x.exact))
def test_exact_sequence_learners(layer, in_shape):
    through_time(layer, in_shape)


@pytest.mark.parametrize(("layer", "in_shape"), cases(SequenceLearner))
def test_one_step_leaves_nothing_to_truncate(layer, in_shape):
    through_time(layer, (1, *in_shape[1:]))
