"""One time step of recurrent cells in LiteRT, dense and pruned: bytes of the file, and time.

    python tools/speed_tflite.py [--cell lstm] [--rounds 15]

Weights are as they are drawn, the smallest set to 0. All files of a row are run by turns in one
process on one thread; a time is the median over rounds of the fastest of 50 runs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from ai_edge_litert.interpreter import Interpreter  # noqa: TID251  the plain runtime is timed

from edgelearn import datasets, workflow
from edgelearn.arrays import Array
from edgelearn.config import parse_recipe
from edgelearn.export.tflite_writer import to_bytes
from edgelearn.ir import Graph
from edgelearn.lowering import to_stream_graph
from edgelearn.passes.sparsify import sparsify

CELLS = ("lstm", "gru", "elman")
SIZES = ((128, 256), (256, 512))
FORMS = {"dense": (0.0, 1), "90 %": (0.9, 1), "90 % 1x4": (0.9, 4), "95 % 1x4": (0.95, 4)}
LEAST = 10_000
"""Smaller matrices stay as they are: the head."""


def stream(cell: str, features: int, units: int) -> Graph:
    """A new network of one cell and a head of ten classes."""
    x = np.random.default_rng(0).standard_normal((20, 4, features), np.float32)
    y = np.arange(20) % 10
    data = datasets.load(datasets.Source(name="digits"))
    data = replace(data, x_train=x, y_train=y, x_test=x, y_test=y)
    layers = [
        {"kind": cell, "units": units},
        {"kind": "dense", "units": 10, "activation": "softmax"},
    ]
    tables = {"dataset": {"name": "digits"}, "input": {"over": "channel"}, "layers": layers}
    return to_stream_graph(workflow.new_model(parse_recipe(tables, "speed"), data).network)


def pruned(w: Array, sparsity: float, block: int) -> Array:
    """`w` with the blocks of smallest sum set to 0, along the inputs."""
    fan_in, units = w.shape
    many = -(-fan_in // block)
    size = np.zeros((many * block, units), np.float32)
    size[:fan_in] = np.abs(w)
    size = size.reshape(many, block, units).sum(axis=1)
    kept = np.repeat(size >= np.quantile(size, sparsity), block, axis=0)[:fan_in]
    return np.where(kept, w, np.float32(0))


def content(graph: Graph, sparsity: float, block: int) -> bytes:
    """The file of `graph`, its large matrices pruned."""
    if not sparsity:
        return to_bytes(graph)
    constants = {
        name: pruned(w, sparsity, block) if w.ndim == 2 and w.size >= LEAST else w
        for name, w in graph.constants.items()
    }
    return to_bytes(sparsify(replace(graph, constants=constants)))


def loaded(model: bytes) -> Interpreter:
    """The default of the runtime, which is XNNPACK, fed with noise."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], rng.standard_normal(detail["shape"], np.float32))
    return interpreter


def fastest(interpreter: Interpreter) -> float:
    """Microseconds of one run."""
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", choices=CELLS, action="append")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    print("| cell, features and units |", " | ".join(FORMS), "|")
    print("|---" * (1 + len(FORMS)) + "|")
    for cell in given.cell or CELLS:
        for features, units in SIZES:
            graph = stream(cell, features, units)
            files = [content(graph, *form) for form in FORMS.values()]
            runs = [loaded(file) for file in files]
            times = np.median([[fastest(run) for run in runs] for _ in range(given.rounds)], axis=0)
            shown = [
                f"{len(f) / 1000:,.0f} kB, {t:.1f} us" for f, t in zip(files, times, strict=True)
            ]
            print(f"| {cell} {features}, {units} |", " | ".join(shown), "|", flush=True)


if __name__ == "__main__":
    main()
