"""Backpropagation and feedback alignment of any network: a Graph, run by the interpreter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.buffers import Buffers
from edgelearn.config import Method
from edgelearn.controls._graph import to_control_graph
from edgelearn.ir import Runner
from edgelearn.network import Network
from edgelearn.normalize import Outputs
from edgelearn.rng import PERIOD


class Interpreted:
    """Steps of a control Graph; parameters and moments of the network change in place."""

    def __init__(self, network: Network, method: Method, batch: int, seed: int) -> None:
        self.buffers = Buffers(network, batch)
        # Samples and labels come from the buffers on the scale that is learned.
        outputs = None if network.outputs is None else Outputs.blank(network.names)
        network = replace(network, normalizer=None, outputs=outputs)
        self._runner = Runner(to_control_graph(network, method, seed, batch))
        self._arrays = network.stored()
        self._step = np.zeros((), np.float32)

    def step(self, x: F32, labels: Array, lr: float) -> float:
        """As `edgelearn.controls.Control` says."""
        feeds: dict[str, Array] = {"x": x, "y": labels, "lr": np.array(lr, np.float32)}
        self._step[...] = self.buffers.step % PERIOD
        states = {**self._arrays, "step": self._step}
        result = self._runner.run(feeds, states)
        for name, value in result.states.items():
            states[name][...] = value
        self.buffers.step += lr > 0
        return float(result.outputs["loss"])
