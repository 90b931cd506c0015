"""One timestep's products and local updates: BLAS beside the kernels for pruned matrices.

    python tools/speed_sparse.py

Batch 1, one thread, one process; what is compared takes turns, and medians are printed: of a
matrix (units, gates * units) as a recurrent cell multiplies its state by, forward and update. The
crossover is the lowest sparsity, in steps of 5 points, from which on the kernel is faster.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from edgelearn import kernels
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.masks import magnitude_masks
from edgelearn.sparsity.matrix import SparseMatrix

GATES = {"tanh": 1, "gru": 3, "lstm": 4}
UNITS = (128, 256, 512)
SPARSITIES = (0.8, 0.9, 0.95)
SCAN = tuple(n / 100 for n in range(30, 100, 5))
PATTERNS = {"unstructured": 1, "1x4": 4}
ROUNDS, CALLS = 61, 10


def medians(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds of each of `calls`, which take turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            began = time.perf_counter_ns()
            for _ in range(CALLS):
                call()
            found[name].append((time.perf_counter_ns() - began) / CALLS / 1e3)
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
        matrix = SparseMatrix.of(w, mask, block)
        bytes_of[f"{pattern} bytes"] = matrix.nbytes
        calls[pattern] = lambda m=matrix: m.product(x, z)  # type: ignore[misc]
        calls[f"{pattern} update"] = lambda m=matrix: m.add_outer(x, d)  # type: ignore[misc]
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
