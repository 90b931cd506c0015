"""The sparsity study (arXiv:2407.20601) by tpSGD and by backpropagation, and what patterns cost.

    python tools/sparse_study.py run pruning            # may be stopped, goes on where it was
    python tools/sparse_study.py run patterns --limit 10
    python tools/sparse_study.py page                   # tables and plots of models/sparse-study.md

Sections: ``pruning`` (4 cells, 3 scopes, one shot), ``backprop`` (the same in PyTorch, where that
is installed), ``patterns`` (every pattern on Reber and on real data), ``graphs`` (random
structures). The page needs the extra ``study``. ``--full`` has the sizes of the study itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import click

import sparse_study_runs as study
from sparse_study_runs import Line, Outcome, Run

PLACE = Path(__file__).parents[1] / "models" / "sparse-study"
WORK = Path("build") / "sparse-study"


@click.group()
def main() -> None:
    """Make the runs of the study, and its page."""


@main.command(name="run")
@click.argument("section", type=click.Choice(["pruning", "backprop", "patterns", "graphs"]))
@click.option("--full", is_flag=True, help="The grid of the study itself, not the reduced one.")
@click.option("--limit", type=int, help="Stop after so many new runs.")
@click.option("--only", default="", help="Only runs whose JSON holds this, e.g. fsdd.")
@click.option("--results", type=click.Path(path_type=Path), default=PLACE, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=WORK, help="Dense networks.")
def run_section(
    section: study.Section, full: bool, limit: int | None, only: str, results: Path, work: Path
) -> None:
    """Make the runs of SECTION that are not in the results yet."""
    if section == "backprop" and importlib.util.find_spec("torch") is None:
        click.echo("section backprop skipped: PyTorch is not installed (pip install torch)")
        return
    path = results / f"{section}.jsonl"
    known = study.read(path)
    planned = list(study.runs(section, study.FULL if full else study.REDUCED[section]))
    left = [run for run in planned if only in study.key(run) and study.key(run) not in known]
    left = left[:limit]
    click.echo(f"{section}: {len(planned)} runs, {len(left)} to make now")
    make = _maker(section, work)
    for number, run in enumerate(left, 1):
        outcome = make(run)
        study.append(path, Line(run, outcome))
        click.echo(f"{number}/{len(left)} {_told(run, outcome)}")


@main.command()
@click.option("--results", type=click.Path(path_type=Path), default=PLACE, show_default=True)
def page(results: Path) -> None:
    """Write the tables into the page beside the results folder, and the plots into the folder."""
    import sparse_study_page  # noqa: PLC0415  runs do without
    import sparse_study_plots  # noqa: PLC0415

    path = results.with_suffix(".md")
    path.write_text(sparse_study_page.filled(path.read_text(), results))
    for plot in sparse_study_plots.draw(results):
        click.echo(plot)
    click.echo(path)


def _maker(section: study.Section, work: Path) -> Callable[[Run], Outcome]:
    if section == "backprop":
        import sparse_study_torch  # noqa: PLC0415  an extra

        return sparse_study_torch.make
    import sparse_study_learn  # noqa: PLC0415  loads Numba

    return lambda run: sparse_study_learn.make(run, work)


def _told(run: Run, outcome: Outcome) -> str:
    base, prune = run.base, run.prune
    what = f"{base.data} {base.cell} {base.units} seed {base.seed}"
    if prune is None:
        return f"{what}: {outcome.dense:.2%}, {outcome.seconds:.0f} s"
    after = outcome.reached if outcome.retrained else float("nan")
    how = f"{prune.pattern} {prune.scope} {prune.sparsity}"
    reached = f"dense {outcome.dense:.2%}, pruned {outcome.pruned:.2%}, retrained {after:.2%}"
    return f"{what}, {how}: {reached}, {outcome.seconds:.0f} s"


if __name__ == "__main__":
    main()
