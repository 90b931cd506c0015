"""Time one training step: ours beside PyTorch's, and for MLPs beside our own backpropagation.

Everything runs in one process on one thread, warm, by turns, so that a machine whose speed drifts
moves all figures together; medians of rounds and their spread, and ratios to PyTorch.

    pip install torch && python tools/speed.py mlp --units 256 --units 256
    python tools/speed.py rnn --kind gru
    python tools/speed.py conv
"""

from __future__ import annotations

import itertools
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import click
import numpy as np

from edgelearn import engine
from edgelearn.config import Recipe, parse_recipe
from edgelearn.controls import Control
from edgelearn.datasets import Dataset, Source, load
from edgelearn.workflow import new_model, one_thread

ROUNDS = 15
ROUND_S = 0.04
LR = 1e-4
Step: TypeAlias = Callable[[], object]
Peers: TypeAlias = Callable[[Dataset, int], dict[str, Step]]


def recipe(name: str, *layers: dict[str, Any], optimizer: str = "sgd") -> Recipe:
    """A network with a head of 10 classes behind `layers`."""
    tables = {
        "name": name,
        "dataset": {"name": name},
        "layers": [*layers, {"kind": "dense", "units": 10, "activation": "softmax"}],
        "train": {"optimizer": optimizer},
    }
    return parse_recipe(tables, "speed")


def our_step(chosen: Recipe, data: Dataset, batch: int) -> Step:
    """One step in which every layer learns, on real samples."""
    network = new_model(chosen, data).network
    buffers = engine.Buffers(network, batch)
    x, y = buffers.load(data.x_train, data.y_train, np.arange(batch))
    every = network.learning()
    return lambda: engine.train_step(buffers, x, y, LR, every)


def torch_step(model: Any, optimizer: str, data: Dataset, batch: int) -> Step:
    """Forward, backward and step of a PyTorch `model` on the same samples."""
    import torch  # noqa: PLC0415  a peer of this program, not a dependency of ours

    torch.set_num_threads(1)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimiser = kinds[optimizer](model.parameters(), lr=LR)
    inputs = torch.tensor(data.x_train[:batch].astype(np.float32) / 255)
    labels = torch.tensor(data.y_train[:batch])

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()

    return step


def mlp_peers(units: Sequence[int]) -> Peers:
    """An MLP for MNIST's shape with these hidden units."""

    def layers(loss: str) -> list[dict[str, Any]]:
        return [{"kind": "dense", "units": n, "activation": "tanh", "loss": loss} for n in units]

    def peers(data: Dataset, batch: int) -> dict[str, Step]:
        import torch  # noqa: PLC0415

        steps = {
            f"tpSGD {loss}": our_step(recipe("mnist", *layers(loss)), data, batch)
            for loss in ("l2", "cross_entropy")
        }
        network = new_model(recipe("mnist", *layers("l2")), data).network
        control = Control(network, "bp", batch, 0)
        x, y = control.buffers.load(data.x_train, data.y_train, np.arange(batch))
        steps["our backprop"] = lambda: control.step(x, y, LR)
        parts: list[Any] = [torch.nn.Flatten()]
        for fan_in, fan_out in itertools.pairwise([784, *units]):
            parts += [torch.nn.Linear(fan_in, fan_out), torch.nn.Tanh()]
        model = torch.nn.Sequential(*parts, torch.nn.Linear([784, *units][-1], 10))
        return {**steps, "PyTorch": torch_step(model, "sgd", data, batch)}

    return peers


def rnn_peers(kind: str, units: int, optimizer: str) -> Peers:
    """One recurrent layer on rows of images, last state and mean to a head."""

    def peers(data: Dataset, batch: int) -> dict[str, Step]:
        import torch  # noqa: PLC0415

        class Model(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                cells = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
                self.cell = cells.get(kind, torch.nn.RNN)(28, units, batch_first=True)
                self.head = torch.nn.Linear(2 * units, 10)

            def forward(self, x: Any) -> Any:
                states, _ = self.cell(x)
                return self.head(torch.cat([states[:, -1], states.mean(1)], 1))

        ours = recipe("fashion_mnist", {"kind": kind, "units": units}, optimizer=optimizer)
        return {
            f"tpSGD {kind}": our_step(ours, data, batch),
            "PyTorch": torch_step(Model(), optimizer, data, batch),
        }

    return peers


def conv_peers(filters: Sequence[int], optimizer: str) -> Peers:
    """Convolutions of 3 x 3, each with relu and a maximum over 2 x 2, to a head."""

    def peers(data: Dataset, batch: int) -> dict[str, Step]:
        import torch  # noqa: PLC0415

        layers: list[dict[str, Any]] = []
        parts: list[Any] = [torch.nn.Unflatten(1, (1, 28))]
        for before, after in itertools.pairwise([1, *filters]):
            layers += [{"kind": "conv2d", "filters": after}, {"kind": "max_pool"}]
            conv = torch.nn.Conv2d(before, after, 3, padding=1)
            parts += [conv, torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        side = 28 // 2 ** len(filters)
        head = torch.nn.Linear(filters[-1] * side * side, 10)
        model = torch.nn.Sequential(*parts, torch.nn.Flatten(), head)
        ours = recipe("fashion_mnist", *layers, optimizer=optimizer)
        return {
            "tpSGD": our_step(ours, data, batch),
            "PyTorch": torch_step(model, optimizer, data, batch),
        }

    return peers


def timed(step: Step, count: int) -> float:
    """Microseconds a step, over `count` steps."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count * 1e6


def table(title: str, peers: Peers, dataset: str, batches: Sequence[int]) -> None:
    """Print one Markdown table."""
    print(f"{title}, {platform.machine()}, one thread, us a step:\n")
    print("| batch | step | median | min - max | PyTorch / this |")
    print("|---|---|---|---|---|")
    data = load(Source(name=dataset))
    with one_thread():
        for batch in batches:
            steps = peers(data, batch)
            counts = {n: max(3, round(ROUND_S * 1e6 / timed(s, 5))) for n, s in steps.items()}
            rounds: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(ROUNDS):
                for name, step in steps.items():
                    rounds[name].append(timed(step, counts[name]))
            for name, times in rounds.items():
                ratio = statistics.median(
                    p / t for p, t in zip(rounds["PyTorch"], times, strict=True)
                )
                spread = f"{min(times):.0f} - {max(times):.0f}"
                middle = statistics.median(times)
                print(f"| {batch} | {name} | {middle:.0f} | {spread} | {ratio:.2f} |")


optimizer_option = click.option(
    "--optimizer", type=click.Choice(["sgd", "adam"]), default="sgd", show_default=True
)


@click.group()
def main() -> None:
    """Time one training step beside PyTorch's; one Markdown table."""


@main.command()
@click.option("--units", multiple=True, default=[256], type=int, help="Units of a hidden layer.")
def mlp(units: tuple[int, ...]) -> None:
    """An MLP on MNIST."""
    title = f"784-{'-'.join(map(str, units))}-10"
    table(title, mlp_peers(units), "mnist", (1, 8, 32, 128))


@main.command()
@click.option(
    "--kind", type=click.Choice(["gru", "lstm", "elman", "leaky", "mingru"]), default="gru"
)
@click.option("--units", default=128, show_default=True)
@optimizer_option
def rnn(kind: str, units: int, optimizer: str) -> None:
    """A recurrent layer on rows of Fashion-MNIST, beside backpropagation through time.

    PyTorch's is of the same kind for gru and lstm, else its plain tanh layer.
    """
    title = f"{kind} {units}, 28 steps x 28, {optimizer}"
    table(title, rnn_peers(kind, units, optimizer), "fashion_mnist", (1, 32))


@main.command()
@click.option("--filters", multiple=True, default=[16, 32], type=int, help="Of a convolution.")
@optimizer_option
def conv(filters: tuple[int, ...], optimizer: str) -> None:
    """Convolutions on Fashion-MNIST."""
    title = f"conv {'-'.join(map(str, filters))}, 28 x 28, {optimizer}"
    table(title, conv_peers(filters, optimizer), "fashion_mnist", (1, 32))


if __name__ == "__main__":
    main()
