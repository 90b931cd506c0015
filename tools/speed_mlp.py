"""Time one training step: tpSGD beside our own in-place backpropagation and PyTorch's.

Everything runs in one process on one thread, warm, by turns, so that a machine whose speed drifts
moves all figures together; medians of rounds and their spread, and ratios to PyTorch.

    pip install torch && python tools/speed_mlp.py --units 256 --units 256
"""

from __future__ import annotations

import itertools
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import click
import numpy as np

from edgelearn import engine
from edgelearn.config import Recipe, parse_recipe
from edgelearn.controls import control_of
from edgelearn.datasets import Source, load
from edgelearn.workflow import new_model, one_thread

BATCHES = (1, 8, 32, 128)
ROUNDS = 15
ROUND_S = 0.04


def recipe(units: Sequence[int], loss: str) -> Recipe:
    """An MLP for MNIST's shape with these hidden units."""
    layers = [{"kind": "dense", "units": n, "activation": "tanh", "loss": loss} for n in units]
    head = {"kind": "dense", "units": 10, "activation": "softmax"}
    tables = {"name": "mlp", "dataset": {"name": "mnist"}, "layers": [*layers, head]}
    return parse_recipe(tables, "speed")


def peers(units: Sequence[int], batch: int) -> dict[str, Callable[[], object]]:
    """One step of each peer, on the same real samples."""
    data = load(Source(name="mnist"))
    rows = np.arange(batch)
    steps: dict[str, Callable[[], object]] = {}
    for loss in ("l2", "cross_entropy"):
        network = new_model(recipe(units, loss), data).network
        buffers = engine.Buffers(network, batch)
        x, y = buffers.load(data.x_train, data.y_train, rows)
        every = range(len(network.blocks))
        steps[f"tpSGD {loss}"] = lambda b=buffers, x=x, y=y, e=every: engine.train_step(
            b, x, y, 1e-4, e
        )
    network = new_model(recipe(units, "l2"), data).network
    control = control_of(network, "bp", batch, 0)
    x, y = control.buffers.load(data.x_train, data.y_train, rows)
    steps["our backprop"] = lambda: control.step(x, y, 1e-4)
    steps["PyTorch SGD"] = torch_step(units, x, y)
    return steps


def torch_step(units: Sequence[int], x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    """The same network and samples in PyTorch: forward, backward, SGD step."""
    import torch  # noqa: PLC0415  a peer of this program, not a dependency of ours

    torch.set_num_threads(1)
    sizes = [x[0].size, *units]
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4)
    inputs, labels = torch.tensor(x.reshape(len(x), -1)), torch.tensor(y)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()

    return step


def timed(step: Callable[[], object], count: int) -> float:
    """Microseconds a step, over `count` steps."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count * 1e6


@click.command()
@click.option("--units", multiple=True, default=[256], type=int, help="Units of a hidden layer.")
def main(units: tuple[int, ...]) -> None:
    """Print one Markdown table."""
    print(f"784-{'-'.join(map(str, units))}-10, {platform.machine()}, one thread, us a step:\n")
    print("| batch | step | median | min - max | PyTorch / this |")
    print("|---|---|---|---|---|")
    with one_thread():
        for batch in BATCHES:
            steps = peers(units, batch)
            counts = {n: max(3, round(ROUND_S * 1e6 / timed(s, 5))) for n, s in steps.items()}
            rounds: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(ROUNDS):
                for name, step in steps.items():
                    rounds[name].append(timed(step, counts[name]))
            for name, times in rounds.items():
                ratio = statistics.median(
                    p / t for p, t in zip(rounds["PyTorch SGD"], times, strict=True)
                )
                spread = f"{min(times):.0f} - {max(times):.0f}"
                middle = statistics.median(times)
                print(f"| {batch} | {name} | {middle:.0f} | {spread} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
