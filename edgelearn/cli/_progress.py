"""Progress on stderr: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

from edgelearn.datasets import Dataset
from edgelearn.datasets import Progress as Tell
from edgelearn.modelfile import Model
from edgelearn.trainer import EpochReport, Position, stages

PLAIN_EVERY_S = 5.0


class Watch:
    """Follows a training run: layer, epoch, loss, samples per second, time left."""

    def __init__(self, model: Model, dataset: Dataset) -> None:
        config = model.recipe.train
        self.batch = config.batch
        self.epochs = config.epochs
        self.steps = math.ceil(len(dataset.x_train) / config.batch)
        total = self.steps * config.epochs * len(stages(model.network, config))
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("compiling kernels", total=total, note="")
        self.began = self.told = time.monotonic()

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
        """Move the bar; `advance` is cheap, drawing is throttled by rich."""
        done = (position.stage * self.epochs + position.epoch) * self.steps + position.step + 1
        if done == 1 or done % 16 == 0:
            self.bar.update(self.task, completed=done)

    def on_epoch(self, report: EpochReport) -> None:
        """Say what the epoch reached."""
        name = report.layer if report.stages > 1 else "all layers"
        what = f"{name}, epoch {report.epoch}/{report.epochs}"
        note = f"loss {report.loss:.4f}"
        self.bar.update(self.task, description=what, note=note)
        now = time.monotonic()
        last = report.epoch == report.epochs
        if self.bar.disable and (last or now - self.told >= PLAIN_EVERY_S):
            self.told = now
            click.echo(f"{what}: {note}, {now - self.began:.1f} s", err=True)


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
