"""Early exit: answer at the first block whose readout is sure, and leave the rest undone.

Every block that learns from cross-entropy has a readout of its own, so every one of them can
answer. Source: BranchyNet (Teerapittayanon, McDanel & Kung 2016, arXiv:1709.01686); here the
branches come with training.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.errors import ConfigError
from edgelearn.ir import Graph, LazyRun
from edgelearn.lowering import to_exit_graph
from edgelearn.network import Network


class ExitReport(msgspec.Struct, frozen=True):
    """What goes out at one block: share of the samples, their accuracy (None if there are none).

    `macs` is what a sample costs that leaves here.
    """

    layer: str
    share: float
    accuracy: float | None
    macs: int


class EarlyEvaluation(msgspec.Struct, frozen=True):
    """How well and how cheaply a network does that may answer early; `macs` is a mean."""

    threshold: float
    accuracy: float
    samples: int
    macs: float
    all_macs: int
    exits: list[ExitReport]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was said of one sample: class probabilities, the block that said it, what it cost."""

    probabilities: F32
    layer: str
    macs: int


class EarlyExits:
    """A network that answers at the first block whose largest probability reaches `threshold`.

    Raises
    ------
    ConfigError
        If no hidden block can answer, or the head gives no probabilities.
    """

    def __init__(self, network: Network, threshold: float) -> None:
        if network.answers != "probabilities":
            raise ConfigError(
                f"model {network.name!r}",
                expected="a head of probabilities, to know when an answer is sure",
                got=f"one of {network.answers}",
                fix="train with a softmax head, or leave out --exit-at",
            )
        self.graph: Graph = to_exit_graph(network).bind(1)
        self.threshold = threshold
        self.layers = [name.partition("/")[0] for name in self.graph.outputs]
        if len(self.layers) < 2:
            raise ConfigError(
                f"model {network.name!r}",
                expected="a hidden layer that learned by cross_entropy, to answer early",
                got="none",
                fix='train with loss = "cross_entropy", or leave out --exit-at',
            )

    def answer(self, sample: F32) -> Answer:
        """The answer to one sample (*in_shape), not normalised."""
        run = LazyRun(self.graph, {self.graph.inputs[0]: sample[None]})
        *early, head = self.graph.outputs
        for name, layer in zip(early, self.layers[:-1], strict=True):
            found = run[name][0]
            if found.max() >= self.threshold:
                return Answer(found, layer, run.macs)
        return Answer(run[head][0], self.layers[-1], run.macs)

    def evaluate(self, x: Array, y: Array) -> EarlyEvaluation:
        """Accuracy and cost on samples (n, *in_shape) and labels (n,)."""
        answers = [self.answer(np.asarray(sample, np.float32)) for sample in x]
        right = np.array([a.probabilities.argmax() for a in answers]) == y
        cost = np.array([a.macs for a in answers])
        place = np.array([self.layers.index(a.layer) for a in answers])
        exits = []
        for index, layer in enumerate(self.layers):
            here = place == index
            exits.append(
                ExitReport(
                    layer,
                    share=float(here.mean()),
                    accuracy=float(right[here].mean()) if here.any() else None,
                    macs=self._macs(index),
                )
            )
        return EarlyEvaluation(
            threshold=self.threshold,
            accuracy=float(right.mean()),
            samples=len(x),
            macs=float(cost.mean()),
            all_macs=self._macs(len(self.layers) - 1, alone=True),
            exits=exits,
        )

    def _macs(self, index: int, *, alone: bool = False) -> int:
        """What a sample costs that leaves at exit `index`; `alone` without asking those before."""
        zeros = {
            name: np.zeros(self.graph.specs[name].shape, np.float32) for name in self.graph.inputs
        }
        run = LazyRun(self.graph, zeros)
        for name in self.graph.outputs[index if alone else 0 : index + 1]:
            run[name]
        return run.macs
