"""What a Graph needs of a device's memory: exact, from the arena plan."""

from __future__ import annotations

from dataclasses import dataclass

from edgelearn.ir import ArenaPlan, Graph
from firmware_sim.devices import DeviceProfile, Kind


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a bound Graph's own data; no interpreter, runtime or program code is in them.

    Attributes
    ----------
    arena_bytes : int
        Inputs, activations and outputs in one planned block.
    weights_bytes : int
        Constants: what no run changes.
    states_bytes : int
        What a run changes: hidden states, and parameters under training.
    peak_ram_bytes : int
        On Linux all three together. On a microcontroller the constants stay in flash.
    flash_bytes : int
        What must be stored: constants, and first values of states that are not zero.
    """

    arena_bytes: int
    weights_bytes: int
    states_bytes: int
    peak_ram_bytes: int
    flash_bytes: int

    def fits(self, profile: DeviceProfile) -> bool:
        """Whether RAM and flash of the device hold it."""
        flash = profile.flash_bytes
        return self.peak_ram_bytes <= profile.ram_bytes.value and (
            flash is None or self.flash_bytes <= flash.value
        )


def account(graph: Graph, plan: ArenaPlan, kind: Kind) -> Memory:
    """The memory of a bound `graph` with arena `plan` on a device of that `kind`.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder, plan_arena
    >>> b = Builder("dense")
    >>> x, w = b.input("x", (1, 8)), b.constant("w", np.ones((8, 4), np.float32))
    >>> graph = b.graph([b.matmul(x, w)])
    >>> account(graph, plan_arena(graph), "linux").peak_ram_bytes
    176
    """
    weights = sum(graph.specs[name].nbytes for name in graph.constants)
    states = sum(graph.specs[state.input].nbytes for state in graph.states)
    first_values = sum(state.init.nbytes for state in graph.states if state.init.any())
    return Memory(
        arena_bytes=plan.size_bytes,
        weights_bytes=weights,
        states_bytes=states,
        peak_ram_bytes=plan.size_bytes + states + (weights if kind == "linux" else 0),
        flash_bytes=weights + first_values,
    )
