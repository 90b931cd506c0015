"""ONNX files of float32 beside those of integers: size, latency, what onnxruntime makes of them.

    python tools/speed_int8.py

Batch 1, one thread, one process; the files of one row take turns, and medians are printed. Weights
are as they are drawn and calibrated on noise: neither size nor latency depends on them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx  # noqa: TID251  what the runtime makes of a file is looked at
import onnxruntime  # noqa: TID251

from edgelearn.config import parse_recipe
from edgelearn.datasets import DataSpec
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import Graph
from edgelearn.lowering import to_graph, to_stream_graph
from edgelearn.passes.calibrate import calibrate
from edgelearn.passes.quantize import activations, quantize_full, quantize_weights
from edgelearn.planning import blank_network

ROUNDS, CALLS = 41, 10
FUSED = ("QLinearConv", "QGemm", "MatMulIntegerToFloat", "MatMulNBits")
CLASSES = tuple(str(c) for c in range(10))
HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}


@dataclass(frozen=True)
class Case:
    """A network, and whether it is fed one time step a run."""

    name: str
    in_shape: tuple[int, ...]
    layers: tuple[dict[str, Any], ...]
    stream: bool = False

    def graph(self) -> Graph:
        tables = {
            "name": "speed",
            "dataset": {"name": "digits"},
            "input": {"over": "all"},
            "layers": [*self.layers, HEAD],
        }
        network = blank_network(parse_recipe(tables, "speed"), DataSpec(self.in_shape, CLASSES))
        return (to_stream_graph if self.stream else to_graph)(network)


def dense(units: int) -> dict[str, Any]:
    return {"kind": "dense", "units": units, "activation": "relu"}


def conv(filters: int) -> tuple[dict[str, Any], ...]:
    return (
        {"kind": "conv2d", "filters": filters, "activation": "relu"},
        {"kind": "max_pool"},
    )


CASES = (
    Case("MLP 784-256-10", (784,), (dense(256),)),
    Case("MLP 784-512-512-10", (784,), (dense(512), dense(512))),
    Case("CNN 28x28, 16-32", (28, 28, 1), (*conv(16), *conv(32))),
    Case("CNN 32x32, 32-64-128", (32, 32, 3), (*conv(32), *conv(64), *conv(128))),
    *(
        Case(f"{kind} step, 128 to {units}", (10, 128), ({"kind": kind, "units": units},), True)
        for units in (256, 512)
        for kind in ("gru", "lstm", "mingru", "leaky")
    ),
)


class Session:
    """A file that is loaded, on random input."""

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "optimised.onnx")
            options.optimized_model_filepath = str(path)
            self.session = onnxruntime.InferenceSession(content, options)
            self.ops = Counter(node.op_type for node in onnx.load(path).graph.node)
        rng = np.random.default_rng(0)
        self.feeds = {
            i.name: rng.standard_normal([d if isinstance(d, int) else 1 for d in i.shape], "f4")
            for i in self.session.get_inputs()
        }

    def run(self) -> None:
        self.session.run(None, self.feeds)

    @property
    def fused(self) -> str:
        return " ".join(f"{self.ops[op]} {op}" for op in FUSED if self.ops[op]) or "-"


def medians(sessions: dict[str, Session]) -> dict[str, float]:
    """Microseconds of a run of each, which take turns."""
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            began = time.perf_counter_ns()
            for _ in range(CALLS):
                session.run()
            found[name].append((time.perf_counter_ns() - began) / CALLS / 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def row(case: Case) -> str:
    graph = case.graph()
    shape = [8 if d < 0 else d for d in graph.specs["x"].shape]
    rng = np.random.default_rng(1)
    steps = [{"x": rng.standard_normal(shape, "f4")} for _ in range(10 if case.stream else 1)]
    full = quantize_full(graph, calibrate(graph, activations(graph), [steps]))
    forms = {"float": graph, "weights": quantize_weights(graph), "full": full}
    files = {name: to_bytes(form) for name, form in forms.items()}
    sessions = {name: Session(content) for name, content in files.items()}
    times = medians(sessions)
    cells = [case.name, f"{len(files['float']):,}"]
    cells += [f"{len(files['float']) / len(files[name]):.2f}" for name in ("weights", "full")]
    cells += [f"{times[name]:.1f}" for name in forms]
    cells += [sessions[name].fused for name in ("weights", "full")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    print("| network | float32 bytes | weights: x smaller | full: x smaller |", end="")
    print(" float32 us | weights us | full us | weights: fused | full: fused |")
    print("|" + " --- |" * 9)
    for case in CASES:
        print(row(case), flush=True)


if __name__ == "__main__":
    main()
