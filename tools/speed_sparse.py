"""Pruned matrices: products, local updates and whole training steps beside dense ones.

    python tools/speed_sparse.py

Batch 1, one thread, one process; what is compared takes turns, and medians are printed: of a
matrix (units, gates * units) as a recurrent cell multiplies its state by, forward and update. The
crossover is the lowest sparsity, in steps of 5 points, from which on the kernel is faster. Then
steps of tpSGD at 90 % zeros, plain descent: their time, and the working set that is planned.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from edgelearn import engine, kernels
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.masking import PruneConfig, choose_masks, masked
from edgelearn.network import Network
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.masks import magnitude_masks
from edgelearn.sparsity.matrix import Places

GATES = {"tanh": 1, "gru": 3, "lstm": 4}
UNITS = (128, 256, 512)
SPARSITIES = (0.8, 0.9, 0.95)
SCAN = tuple(n / 100 for n in range(30, 100, 5))
PATTERNS = {"unstructured": 1, "1x4": 4}
ROUNDS, CALLS = 61, 10
STEP_UNITS, STEP_BATCHES, STEP_ROUNDS = (256, 512), (1, 32), 21


def medians(
    calls: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, repeats: int = CALLS
) -> dict[str, float]:
    """Microseconds of each of `calls`, which take turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter_ns()
            for _ in range(repeats):
                call()
            found[name].append((time.perf_counter_ns() - began) / repeats / 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def one_size(units: int, gates: int, sparsity: float) -> dict[str, float]:
    """Microseconds of forward and update by name, and bytes of the matrices."""
    w = uniform(0, Stream.INIT, 0, (units, gates * units), 1.0)
    x = uniform(1, Stream.INIT, 0, (1, units), 1.0)
    d = uniform(2, Stream.INIT, 0, (1, gates * units), 1e-6)
    z = np.empty_like(d)
    calls: dict[str, Callable[[], object]] = {
        "blas": lambda: np.dot(x[0], w, out=z[0]),
        "dense update": lambda: kernels.dense.add_outer(x, d, w),
    }
    bytes_of = {"dense bytes": w.nbytes}
    for pattern, block in PATTERNS.items():
        mask = magnitude_masks({"w": w}, sparsity, pattern)["w"]
        kept = Places.of(mask, block)
        values = kept.structure.take(w)
        bytes_of[f"{pattern} bytes"] = values.nbytes + kept.nbytes
        calls[pattern] = partial(kept.product, values, x, z)
        calls[f"{pattern} update"] = partial(kept.add_outer, values, x, d)
    return {**medians(calls), **bytes_of}


def crossover(units: int, gates: int, pattern: str) -> str:
    """The sparsity from which on the product is faster than that of BLAS."""
    slower = [
        sparsity
        for sparsity in SCAN
        if (found := one_size(units, gates, sparsity))[pattern] >= found["blas"]
    ]
    faster = [sparsity for sparsity in SCAN if not slower or sparsity > max(slower)]
    return f"{faster[0]:.0%}" if faster else "never"


def network(kind: str, units: int, pattern: str | None) -> Network:
    """One layer of 128 features and a head; 90 % of its weights are 0 if there is a pattern."""
    layer = {"kind": kind, "units": units}
    head = {"kind": "dense", "units": 10, "activation": "softmax"}
    train = {"optimizer": "sgd"}
    data = {"name": "digits"}
    tables = {"name": kind, "dataset": data, "layers": [layer, head], "train": train}
    shape = (784,) if kind == "dense" else (32, 128)
    made = build(parse_recipe(tables, kind), shape, tuple("0123456789"), None)
    if pattern is None:
        return made
    return masked(made, choose_masks(made, PruneConfig(pattern=pattern), 0.9)).compact()


def step_of(made: Network, batch: int) -> Callable[[], object]:
    """One training step, on the same samples again and again."""
    buffers = Buffers(made, batch)
    x = uniform(5, Stream.INIT, 0, (batch, *made.in_shape), 1.0)
    rows = np.arange(batch)
    loaded = buffers.load(x, rows % 10, rows)
    return lambda: engine.train_step(buffers, *loaded, 1e-6, made.learning())


def one_step(kind: str, units: int, batch: int) -> str:
    """A row of the table of training steps."""
    patterns: dict[str, str | None] = {"dense": None, **{name: name for name in PATTERNS}}
    made = {name: network(kind, units, pattern) for name, pattern in patterns.items()}
    calls = {name: step_of(net, batch) for name, net in made.items()}
    for call in calls.values():
        call()
    times = medians(calls, STEP_ROUNDS, 1)
    held = [engine.working_set_bytes(net, batch) / 1024 for net in made.values()]
    cells = [kind, f"{units}", f"{batch}", *(f"{time:.0f}" for time in times.values())]
    cells += [f"{times['dense'] / times[name]:.2f}" for name in PATTERNS]
    cells += [f"{size:.0f}" for size in held]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    with threadpool_limits(1):
        print("| cell | units | zeros | BLAS us | CSR us | 1x4 us | CSR x | 1x4 x |", end="")
        print(" update: dense us | CSR x | 1x4 x | bytes: CSR | 1x4 |")
        print("|" + " --- |" * 13)
        for units in UNITS:
            for cell, gates in GATES.items():
                for sparsity in SPARSITIES:
                    print(_row(cell, units, sparsity, one_size(units, gates, sparsity)))
        for units in UNITS:
            ends = ", ".join(f"{name} {crossover(units, 3, name)}" for name in PATTERNS)
            print(f"\nfaster than BLAS from (gru, {units} units): {ends}")
        print("\n| layer | units | batch | dense us | CSR us | 1x4 us | CSR x | 1x4 x |", end="")
        print(" working set: dense KiB | CSR | 1x4 |")
        print("|" + " --- |" * 11)
        for kind in ("dense", "gru", "lstm"):
            for units in STEP_UNITS:
                for batch in STEP_BATCHES:
                    print(one_step(kind, units, batch))


def _row(cell: str, units: int, sparsity: float, t: dict[str, float]) -> str:
    cells = [cell, f"{units}", f"{sparsity:.0%}"]
    cells += [f"{t[name]:.1f}" for name in ("blas", *PATTERNS)]
    cells += [f"{t['blas'] / t[name]:.2f}" for name in PATTERNS]
    cells += [f"{t['dense update']:.1f}"]
    cells += [f"{t['dense update'] / t[f'{name} update']:.1f}" for name in PATTERNS]
    cells += [f"{t[f'{name} bytes'] / t['dense bytes']:.1%}" for name in PATTERNS]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
