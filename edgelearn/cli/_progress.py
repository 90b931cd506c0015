"""Progress on stderr: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from typing_extensions import Self

from edgelearn.cli._output import human_bytes
from edgelearn.datasets import Dataset
from edgelearn.datasets import Progress as Tell
from edgelearn.holdout import held_out
from edgelearn.modelfile import Model
from edgelearn.progress import EpochReport, Position
from edgelearn.stages import run_bytes, span, stages

PLAIN_EVERY_S = 5.0


class _Bar(Progress):
    """A bar, and in a line below it what was reached last."""

    note = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.note)


class Watch:
    """Follows a training run: layer, epoch, loss, accuracy, samples per second, memory, time left.

    Accuracies are those of the learning layers' own readouts: of samples that they had yet to learn
    from, and of held-out ones.
    """

    def __init__(self, model: Model, dataset: Dataset) -> None:
        config, network = model.recipe.train, model.network
        self.batch, self.epochs = config.batch, config.epochs
        samples = len(dataset.x_train)
        taught = samples - held_out(samples, config.validation)
        self.steps = span(config, samples).epoch_steps
        self.memory = human_bytes(run_bytes(network, config, taught))
        self.console = Console(stderr=True)
        self.bar = _Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        plan = stages(network, config)
        self.names = [network.blocks[max(learning)].name for learning in plan]
        total = self.steps * config.epochs * len(plan)
        self.task = self.bar.add_task("compiling kernels", total=total)
        self.began = self.told = self.lap = time.monotonic()
        self.lap_steps = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def on_step(self, position: Position, loss: float) -> None:
        """Move the bar now and then; drawing is throttled by rich."""
        done = (position.stage * self.epochs + position.epoch) * self.steps + position.step + 1
        self.lap_steps += 1
        if done == 1 or done % 16 == 0:
            place = self._place(position.stage, position.epoch)
            self.bar.update(self.task, completed=done, description=place)
            if self.bar.disable:
                self._tell(f"{place}, step {position.step + 1}/{self.steps}")

    def on_epoch(self, report: EpochReport) -> None:
        """Say what the epoch reached."""
        now = time.monotonic()
        speed = self.lap_steps * self.batch / (now - self.lap)
        self.lap, self.lap_steps = now, 0
        self.bar.note = f"{_reached(report)}, {speed:,.0f} samples/s, {self.memory}"
        if self.bar.disable:
            place = self._place(report.stage - 1, report.epoch - 1)
            self._tell(f"{place}: {self.bar.note}", now=report.last)

    def _tell(self, line: str, *, now: bool = False) -> None:
        """A plain line, if it is `now` or some seconds after the last one."""
        moment = time.monotonic()
        if now or moment - self.told >= PLAIN_EVERY_S:
            self.told = moment
            click.echo(f"{line}, {moment - self.began:.1f} s", err=True)

    def _place(self, stage: int, epoch: int) -> str:
        name = self.names[stage] if len(self.names) > 1 else "all layers"
        return f"{name}, epoch {epoch + 1}/{self.epochs}"


def _reached(report: EpochReport) -> str:
    """Loss and accuracies of an epoch in words."""
    parts = [f"loss {report.loss:.4f}"]
    for title, accuracies in (("local", report.accuracies), ("held-out", report.held_out)):
        if accuracies:
            shares = " ".join(f"{value:.1%}" for value in accuracies.values())
            parts.append(f"{title} accuracy {shares}")
    return ", ".join(parts)


@contextmanager
def downloads() -> Iterator[Tell]:
    """A bar for files that are downloaded; nothing is shown if none is."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("downloading {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, int] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            bar.start()
            tasks[what] = bar.add_task(what, total=total or None)
            if bar.disable:
                click.echo(f"downloading {what}", err=True)
        bar.update(tasks[what], completed=done)  # type: ignore[arg-type]

    try:
        yield tell
    finally:
        bar.stop()
