"""The tables of the study's page, made from its results; sentences are written by hand.

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import sparse_study_runs as study
from edgelearn.sparsity import graphs
from sparse_study_runs import Base, Line, Outcome

REGAINED = 0.005
"""A network has regained its accuracy when it is this close to that of the dense one."""
STRONGEST = 3
FEWEST = 10
"""Runs of a cell below which no correlation is told: the largest of many would be one of chance."""
CONTROL = "dense, trained on"


def filled(page: str, results: Path) -> str:
    """`page` with its tables made again."""

    def made(found: re.Match[str]) -> str:
        name, _, argument = found[1].partition(" ")
        rows = "\n".join(TABLES[name](results, argument))
        return f"<!-- table {found[1]} -->\n\n{rows}\n\n<!-- end -->"

    return re.sub(r"<!-- table ([\w ]+) -->.*?<!-- end -->", made, page, flags=re.DOTALL)


def lines(results: Path, section: str) -> list[Line]:
    """All results of a section."""
    return list(study.read(results / f"{section}.jsonl").values())


def epochs_to_regain(outcome: Outcome) -> int | None:
    """The first epoch, counted from 1, after which the accuracy of the dense network is back."""
    for epoch, accuracy in enumerate(outcome.retrained, 1):
        if accuracy >= outcome.dense - REGAINED:
            return epoch
    return None


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, or that there is nothing for it yet."""
    if not rows:
        return ["Not run yet."]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def pruning(results: Path, section: str) -> list[str]:
    """Accuracy after pruning and after the last epoch, and epochs to regain, by sparsity."""
    found: dict[tuple[str, str], dict[float, Outcome]] = defaultdict(dict)
    for line in lines(results, section):
        prune = line.run.prune
        assert prune is not None  # noqa: S101  of these sections
        found[line.run.base.cell, prune.scope][prune.sparsity or 0.0] = line.outcome
    levels = sorted({level for outcomes in found.values() for level in outcomes})
    rows = [
        [
            cell,
            scope,
            percent(next(iter(outcomes.values())).dense),
            *(_course(outcomes.get(level)) for level in levels),
        ]
        for (cell, scope), outcomes in found.items()
    ]
    return markdown(["cell", "scope", "dense", *(f"{level:.0%}" for level in levels)], rows)


def _course(outcome: Outcome | None) -> str:
    if outcome is None or outcome.pruned is None:
        return "-"
    epochs = epochs_to_regain(outcome)
    when = f"({epochs})" if epochs else "(no)"
    return f"{percent(outcome.pruned)} > {percent(outcome.reached)} {when}"


def patterns(results: Path, argument: str) -> list[str]:
    """What each pattern costs: points of accuracy after retraining, less those of dense."""
    found: dict[tuple[str, float], list[float]] = defaultdict(list)
    dense: dict[int, float] = {}
    data, cell = argument.split()
    for line in lines(results, "patterns"):
        base, prune, outcome = line.run.base, line.run.prune, line.outcome
        if (base.data, base.cell) == (data, cell) and prune is not None:
            dense[base.seed] = outcome.dense
            gap = 100 * (outcome.reached - outcome.dense)
            name = prune.pattern if prune.sparsity != 0 else CONTROL
            level = 0.5 if prune.pattern == "2:4" else prune.sparsity or 0.0
            found[name, level].append(gap)
    levels = sorted({level for _, level in found if level})
    rows = []
    if found and (CONTROL, 0.0) not in found:
        rows.append([CONTROL, *["not run"] * len(levels)])
    for name in dict.fromkeys(name for name, _ in found):
        if name == CONTROL:
            rows.append([name, *[_gaps(found[name, 0.0])] * len(levels)])
        else:
            rows.append([name, *(_gaps(found.get((name, level), [])) for level in levels)])
    title = f"{data} {cell}: dense {percent(statistics.mean(dense.values()))} %" if dense else data
    return markdown([title, *(f"{level:.0%}" for level in levels)], rows)


def _gaps(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    if not values:
        return "-"
    spread = f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else " (1 seed)"
    return f"{statistics.mean(values):+.1f}{spread}"


def structures(results: Path, argument: str) -> list[str]:
    """Mean accuracy by cell and kind of graph, and what correlates with it."""
    rows = []
    for cell in study.CELLS:
        own = [line for line in lines(results, "graphs") if line.run.base.cell == cell]
        if own:
            parts = (own, *(of_kind(own, kind) for kind in study.GRAPHS))
            means = [
                percent(statistics.mean(line.outcome.dense for line in part)) for part in parts
            ]
            rows.append([cell, str(len(own)), *means, strongest(own)])
    return markdown(["cell", "graphs", "all", "WS", "BA", "strongest Pearson r"], rows)


def strongest(own: Sequence[Line]) -> str:
    """The correlations that are furthest from 0, or why none is told."""
    if len(own) < FEWEST:
        return f"none: fewer than {FEWEST} graphs"
    return ", ".join(f"{name} {r:+.2f}" for name, r in correlations(own)[:STRONGEST])


def of_kind(own: Sequence[Line], kind: str) -> list[Line]:
    """Those whose graphs are of this kind."""
    return [
        line
        for line in own
        if line.run.base.structure is not None and line.run.base.structure.graph == kind
    ]


def correlations(own: Sequence[Line]) -> list[tuple[str, float]]:
    """Pearson's r of accuracy and each property of the graphs, the strongest first."""
    accuracies = [line.outcome.dense for line in own]
    every = [properties(line.run.base) for line in own]
    found = {}
    for name in every[0]:
        values = [own_properties[name] for own_properties in every]
        if len(set(values)) > 1:
            found[name] = statistics.correlation(values, accuracies)
    return sorted(found.items(), key=lambda pair: -abs(pair[1]))


def properties(base: Base) -> dict[str, float]:
    """Of the graph that the layer of `base` was made from."""
    kind = base.structure
    assert kind is not None  # noqa: S101  of this section
    graph = graphs.draw(kind.graph, base.units[0], kind.links, kind.rewire, base.seed, 0)
    return graphs.properties(graph)


def percent(part: float) -> str:
    """Without the sign.

    >>> percent(0.98765)
    '98.8'
    """
    return f"{100 * part:.1f}"


TABLES: dict[str, Callable[[Path, str], list[str]]] = {
    "pruning": pruning,
    "patterns": patterns,
    "structures": structures,
}
"""Tables by name; what follows the name says of what."""
