"""The runs of the study of sparsity: what is trained, how it is pruned, and where results are kept.

A run is a value, and its JSON is its name in the file of results. So a grid may be stopped at any
time and continued, and a run that two grids share is made once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from edgelearn.masking import PruneConfig
from edgelearn.sparsity.graphs import GraphKind
from edgelearn.sparsity.masks import BLOCKS
from edgelearn.sparsity.schedules import Schedule
from edgelearn.sparsity.structure import Structure

Section: TypeAlias = Literal["pruning", "backprop", "patterns", "graphs"]
CELLS = ("elman-tanh", "elman-relu", "gru", "lstm")
GATED = ("gru", "lstm")
SCOPES = ("both", "ih", "hh")
PATTERNS = ("1x4", "unstructured", "1x16", "64x1", "neuron")
RATE, STUDY_RATE = 0.003, 0.001
GRAPHS: tuple[GraphKind, ...] = ("watts_strogatz", "barabasi_albert")
STUDY_UNITS = (50, 50, 50)


class Base(msgspec.Struct, frozen=True):
    """A dense network and how it is trained; `samples` of the training part, or all of them."""

    data: str
    cell: str
    units: tuple[int, ...]
    epochs: int
    lr: float
    samples: int | None = None
    seed: int = 0
    structure: Structure | None = None


class Task(msgspec.Struct, frozen=True):
    """The networks of patterns: how wide they are, how long they are trained and retrained."""

    data: str
    units: int
    epochs: int
    retrain: int
    rate: float


TASKS = (Task("fsdd", 128, 20, 20, 0.003), Task("reber", 192, 8, 16, 0.01))
"""Reber's rate of retraining did best on held-out training strings, of 0.003, 0.006 and 0.01."""


class Run(msgspec.Struct, frozen=True):
    """One network, pruned and retrained at rate `lr`; without `prune` it is only trained."""

    section: Section
    base: Base
    prune: PruneConfig | None = None
    lr: float = STUDY_RATE
    lr_schedule: Literal["constant", "cosine"] = "constant"


class Outcome(msgspec.Struct, frozen=True):
    """Accuracies on the test part, after each epoch of retraining too, and what it took."""

    dense: float
    pruned: float | None = None
    retrained: list[float] = []
    sparsity: float | None = None
    nonzero: int | None = None
    seconds: float = 0.0
    kept_epoch: int | None = None

    @property
    def reached(self) -> float:
        """After retraining: of the epoch whose weights were kept, the last if none was chosen."""
        return self.retrained[(self.kept_epoch or len(self.retrained)) - 1]


class Line(msgspec.Struct, frozen=True):
    """One line of the file of results."""

    run: Run
    outcome: Outcome


class Grid(msgspec.Struct, frozen=True):
    """How large a grid is."""

    samples: int | None
    epochs: int
    retrain: int
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...] = (0,)
    graphs: int = 0


PATTERNS_GRID = Grid(None, 0, 0, (0.9, 0.8, 0.95), seeds=(0, 1, 2))
"""Epochs are those of `TASKS`, and all samples are taken."""
REDUCED: dict[Section, Grid] = {
    "pruning": Grid(6_000, 30, 5, (0.5, 0.7, 0.8, 0.9, 0.95)),
    "backprop": Grid(6_000, 8, 2, (0.9,)),
    "patterns": PATTERNS_GRID,
    "graphs": Grid(6_000, 10, 0, (), graphs=8),
}
STUDY = Grid(None, 50, 10, tuple(n / 10 for n in range(1, 10)))
FULL: dict[Section, Grid] = {
    "pruning": STUDY,
    "backprop": STUDY,
    "patterns": PATTERNS_GRID,
    "graphs": Grid(None, 15, 0, (), graphs=100),
}
"""Those of the study itself; days of computing on two cores."""


def runs(section: Section, grid: Grid) -> Iterator[Run]:
    """All runs of a section, cheap and telling ones first."""
    match section:
        case "pruning" | "backprop":
            yield from _pruning(section, grid)
        case "patterns":
            yield from _patterns(grid)
        case "graphs":
            yield from _graphs(grid)


def _pruning(section: Section, grid: Grid) -> Iterator[Run]:
    """One shot over all matrices together, as the code of the study does it."""
    for cell, scope, sparsity in product(CELLS, SCOPES, grid.sparsities):
        rate = STUDY_RATE if section == "backprop" else RATE
        base = Base("reber", cell, STUDY_UNITS, grid.epochs, rate, grid.samples)
        config = PruneConfig(sparsity, scope=scope, together=True, retrain=grid.retrain)
        yield Run(section, base, config)


def _patterns(grid: Grid) -> Iterator[Run]:
    """Over all matrices together; beside it the dense network, taught as much longer.

    1x4 at the first sparsity comes first, and a seed before the next.
    """
    first = (PruneConfig(grid.sparsities[0], "1x4"),)
    others = [PruneConfig(s, p) for s, p in product(grid.sparsities, PATTERNS)]
    others = [PruneConfig(0.0), *others[1:], PruneConfig(None, "2:4")]
    for ways in (first, others):
        for seed, task, config, cell in product(grid.seeds, TASKS, ways, GATED):
            base = Base(task.data, cell, (task.units,), task.epochs, RATE, seed=seed)
            yield Run("patterns", base, _way(config, task.retrain), task.rate, "cosine")


def _way(config: PruneConfig, retrain: int) -> PruneConfig:
    """Blocks move, which neurons cannot; those go by and by, and N:M at once."""
    if config.pattern in BLOCKS and config.sparsity:
        schedule: Schedule = "dynamic"
    else:
        schedule = "gradual" if config.pattern == "neuron" else "oneshot"
    together = schedule != "oneshot"
    return msgspec.structs.replace(config, together=together, schedule=schedule, retrain=retrain)


def _graphs(grid: Grid) -> Iterator[Run]:
    """One layer whose units are the nodes: 10 to 50 of them, with few links or many."""
    for number, kind, cell in product(range(grid.graphs), GRAPHS, CELLS):
        nodes = 10 + 40 * number // max(grid.graphs - 1, 1)
        links = 2 + number % 3  # of each new node; in a ring to either side
        if kind == "barabasi_albert":
            structure = Structure(kind, links)
        else:
            structure = Structure(kind, 2 * links, rewire=(0.1, 0.5, 1.0)[number // 3 % 3])
        base = Base("reber", cell, (nodes,), grid.epochs, RATE, grid.samples, number, structure)
        yield Run("graphs", base)


def read(path: Path) -> dict[str, Line]:
    """Results by the JSON of their runs; a last line cut short by a stop is not there."""
    found: dict[str, Line] = {}
    if path.exists():
        for text in path.read_bytes().split(b"\n")[:-1]:
            line = msgspec.json.decode(text, type=Line)
            found[key(line.run)] = line
    return found


def append(path: Path, line: Line) -> None:
    """Keep one result, in the place of a last line that was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(msgspec.json.encode(line) + b"\n")


def key(run: Run) -> str:
    """What a run is called in the results."""
    return msgspec.json.encode(run).decode()
