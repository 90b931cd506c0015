"""Domain shift: what adapting which layers gains on Fashion-MNIST, and what the guard keeps.

A model is trained on 20,000 images; 1,000 labelled images of a shifted domain teach it, the
10,000 shifted test images judge it. Rates are chosen on another 1,000 shifted training images
(--choose), never on the test images.

    python tools/adapt_shift.py --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from edgelearn import datasets, workflow
from edgelearn.adapting import AdaptConfig, adapt
from edgelearn.config import parse_recipe
from edgelearn.datasets import Dataset, Source
from edgelearn.evaluation import evaluate
from edgelearn.network import Network
from edgelearn.trainer import fit

SOURCE, TARGET = 20_000, 1_000
RECIPE = {
    "name": "shift",
    "dataset": {"name": "fashion_mnist"},
    "input": {"over": "all"},
    "train": {"epochs": 10, "batch": 32, "lr": 0.3, "schedule": "simultaneous"},
    "layers": [
        {"kind": "dense", "units": 256, "learn_projection": True, "loss": "cross_entropy"},
        {"kind": "dense", "units": 128, "learn_projection": True, "loss": "cross_entropy"},
        {"kind": "dense", "units": 10, "activation": "softmax"},
    ],
}


def rotated(x: np.ndarray, degrees: float) -> np.ndarray:
    """Images (n, 28, 28) turned about their middle, bilinear."""
    angle = np.deg2rad(degrees)
    middle = (x.shape[1] - 1) / 2
    rows, columns = np.mgrid[: x.shape[1], : x.shape[2]] - middle
    at_row = np.cos(angle) * rows - np.sin(angle) * columns + middle
    at_column = np.sin(angle) * rows + np.cos(angle) * columns + middle
    r, c = np.floor(at_row).astype(int), np.floor(at_column).astype(int)
    fr, fc = at_row - r, at_column - c
    padded = np.pad(x.astype(np.float32), ((0, 0), (20, 20), (20, 20)))
    r, c = r + 20, c + 20
    top = padded[:, r, c] * (1 - fc) + padded[:, r, c + 1] * fc
    below = padded[:, r + 1, c] * (1 - fc) + padded[:, r + 1, c + 1] * fc
    return (top * (1 - fr) + below * fr).astype(np.float32)


def noisy(x: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (x + 60 * rng.standard_normal(x.shape)).astype(np.float32)


SHIFTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotation 30": lambda x: rotated(x, 30),
    "gain and offset": lambda x: (0.4 * x + 60).astype(np.float32),
    "noise": noisy,
    "inversion": lambda x: 255 - x.astype(np.float32),
}


def trained(data: Dataset, seed: int) -> Network:
    recipe = parse_recipe({**RECIPE, "train": {**RECIPE["train"], "seed": seed}}, "shift")
    model = workflow.new_model(recipe, data)
    fit(model.network, data.x_train[:SOURCE], data.y_train[:SOURCE], recipe.train)
    return model.network


def by_backprop(network: Network, x: np.ndarray, y: np.ndarray, lr: float, seed: int) -> Network:
    copy = network.with_arrays(network.stored())
    config = parse_recipe(
        {**RECIPE, "train": {"epochs": 10, "batch": 8, "lr": lr, "seed": seed, "method": "bp"}},
        "shift",
    ).train
    fit(copy, x, y, config)
    return copy


def table(rows: dict[str, dict[str, list[float]]]) -> None:
    methods = list(next(iter(rows.values())))
    print("| shift | " + " | ".join(methods) + " |")
    print("|---" * (len(methods) + 1) + "|")
    for shift, found in rows.items():
        cells = []
        for values in found.values():
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{100 * statistics.mean(values):.2f} ± {100 * spread:.2f}")
        print(f"| {shift} | " + " | ".join(cells) + " |")


def run(seeds: Sequence[int], lr: float, bp_lr: float, *, choose: bool) -> None:
    data = datasets.load(Source(name="fashion_mnist"))
    networks = {seed: trained(data, seed) for seed in seeds}
    rows: dict[str, dict[str, list[float]]] = {}
    for name, shift in SHIFTS.items():
        part = slice(SOURCE, SOURCE + TARGET)
        x, y = shift(data.x_train[part]), data.y_train[part]
        test = slice(SOURCE + TARGET, SOURCE + 2 * TARGET)
        x_test = shift(data.x_train[test]) if choose else shift(data.x_test)
        y_test = data.y_train[test] if choose else data.y_test
        found: dict[str, list[float]] = {}
        for seed, network in networks.items():
            results = {"none": network}
            for layers in ("last", "first", "all"):
                config = AdaptConfig(layers=layers, lr=lr, guard=False, seed=seed)
                results[layers] = adapt(network, x, y, config)[0]
            config = AdaptConfig(layers="all", lr=lr, seed=seed)
            results["all, guarded"], report = adapt(network, x, y, config)
            results["backprop"] = by_backprop(network, x, y, bp_lr, seed)
            for method, result in results.items():
                found.setdefault(method, []).append(evaluate(result, x_test, y_test).accuracy)
            print(f"# {name}, seed {seed}: kept {report.kept}", flush=True)
        rows[name] = found
    table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--bp-lr", type=float, default=0.05)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    with workflow.one_thread():
        run(options.seeds, options.lr, options.bp_lr, choose=options.choose)


if __name__ == "__main__":
    main()
