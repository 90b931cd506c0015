"""The plots of the study, as SVG (extra ``study``: matplotlib)."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import sparse_study_runs as study
from sparse_study_page import FEWEST, correlations, lines, of_kind, properties

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
LEGEND: dict[str, Any] = {"fontsize": 7, "loc": "upper left", "bbox_to_anchor": (1.02, 1)}
SETTINGS = {
    "svg.hashsalt": "edgelearn",  # the same results make the same file
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
}


def draw(results: Path) -> Iterator[Path]:
    """Draw each plot that there are results for; where it is."""
    with mpl.rc_context(SETTINGS):
        for section in ("pruning", "backprop"):
            if lines(results, section):
                yield _pruning(results, section)
        if lines(results, "patterns"):
            yield _patterns(results)
        if lines(results, "graphs"):
            yield _graphs(results)


def _saved(path: Path) -> Path:
    plt.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close()
    return path


def _pruning(results: Path, section: str) -> Path:
    """Accuracy by sparsity, one scope beside the other: dashed pruned, solid retrained."""
    _, axes = plt.subplots(1, len(study.SCOPES), figsize=(9, 3), sharey=True)
    for scope, ax in zip(study.SCOPES, axes, strict=True):
        for colour, cell in zip(COLOURS, study.CELLS, strict=False):
            own = sorted(
                (line.run.prune.sparsity or 0.0, line.outcome)
                for line in lines(results, section)
                if line.run.prune and (line.run.prune.scope, line.run.base.cell) == (scope, cell)
            )
            levels = [100 * level for level, _ in own]
            pruned = [100 * (outcome.pruned or 0.0) for _, outcome in own]
            ax.plot(levels, pruned, "--", color=colour, alpha=0.6)
            after = [100 * outcome.reached for _, outcome in own]
            ax.plot(levels, after, "o-", color=colour, label=cell, markersize=3)
        ax.set(title=f"scope {scope}", xlabel="zeros, %")
    axes[0].set_ylabel("test accuracy, %")
    axes[-1].legend(title="dashed: before retraining", title_fontsize=7, **LEGEND)
    return _saved(results / f"{section}.svg")


def _patterns(results: Path) -> Path:
    """Points lost by pattern, one task and cell beside the other."""
    found: dict[tuple[str, str], dict[str, dict[float, list[float]]]] = {}
    for line in lines(results, "patterns"):
        prune, outcome = line.run.prune, line.outcome
        if prune and prune.sparsity:
            of = found.setdefault((line.run.base.data, line.run.base.cell), {})
            by_level = of.setdefault(prune.pattern, defaultdict(list))
            by_level[prune.sparsity].append(100 * (outcome.reached - outcome.dense))
    _, axes = plt.subplots(1, len(found), figsize=(3 * len(found), 3), squeeze=False)
    for ax, ((data, cell), of) in zip(axes[0], sorted(found.items()), strict=True):
        for pattern, by_level in of.items():
            levels = sorted(by_level)
            means = [statistics.mean(by_level[level]) for level in levels]
            ax.plot([100 * level for level in levels], means, "o-", label=pattern, markersize=3)
        ax.axhline(-1, color="grey", linewidth=0.5)
        ax.set(title=f"{data}, {cell}", xlabel="zeros, %")
    axes[0, 0].set_ylabel("points of accuracy less dense")
    axes[0, -1].legend(**LEGEND)
    return _saved(results / "patterns.svg")


def _graphs(results: Path) -> Path:
    """Accuracy by the property of the graph that tells most, or by nodes where graphs are few."""
    _, axes = plt.subplots(1, len(study.CELLS), figsize=(10, 2.6), sharey=True)
    for cell, ax in zip(study.CELLS, axes, strict=True):
        _scatter(results, cell, ax)
    axes[0].set_ylabel("test accuracy, %")
    axes[-1].legend(**LEGEND)
    return _saved(results / "graphs.svg")


def _scatter(results: Path, cell: str, ax: Axes) -> None:
    own = [line for line in lines(results, "graphs") if line.run.base.cell == cell]
    name, title = "nodes", f"{cell}: {len(own)} graphs"
    if len(own) >= FEWEST:
        name, r = correlations(own)[0]
        title = f"{cell}: r = {r:+.2f}"
    for kind in study.GRAPHS:
        part = of_kind(own, kind)
        values = [properties(line.run.base)[name] for line in part]
        accuracies = [100 * line.outcome.dense for line in part]
        ax.plot(values, accuracies, "o", label=kind.replace("_", "-"), markersize=4)
    ax.set(title=title, xlabel=name.replace("_", " "))
