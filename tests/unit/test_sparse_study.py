"""The study of sparsity: runs that are resumed, what they measure, a page true to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sparse_study
import sparse_study_learn
import sparse_study_page
import sparse_study_runs as study
from edgelearn.evaluation import evaluate
from edgelearn.masking import PruneConfig
from edgelearn.sparsity.graphs import draw, recurrent_mask
from edgelearn.sparsity.structure import Structure
from sparse_study_runs import Base, Line, Outcome, Run

RESULTS = Path(__file__).parents[2] / "models" / "sparse-study"
SMALL = Base("reber", "gru", (6, 5), epochs=1, lr=0.01, samples=96)
PRUNED = Run("pruning", SMALL, PruneConfig(0.5, scope="hh", together=True, retrain=2))


@pytest.mark.parametrize("grids", [study.REDUCED, study.FULL])
@pytest.mark.parametrize("section", study.REDUCED)
def test_no_two_runs_are_the_same(grids, section):
    keys = [study.key(run) for run in study.runs(section, grids[section])]
    assert len(keys) == len(set(keys)) >= 12


@pytest.mark.parametrize("section", study.REDUCED)
def test_every_recipe_can_be(section):
    for base in {run.base for run in study.runs(section, study.REDUCED[section])}:
        recipe = sparse_study_learn.recipe_of(base)
        assert len(recipe.layers) == len(base.units) + 1


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    made = []

    def make(run, folder):
        made.append(run)
        return Outcome(0.9, 0.5, [0.8, 0.89], 0.5, 10)

    monkeypatch.setattr(sparse_study_learn, "make", make)
    command = ["run", "pruning", "--results", str(tmp_path), "--limit", "2"]
    for _ in range(2):
        done = CliRunner().invoke(sparse_study.main, command, catch_exceptions=False)
        assert done.exit_code == 0
        with (tmp_path / "pruning.jsonl").open("a") as file:
            file.write('{"run": {"sect')  # a stop in the middle of a line
    assert len(set(made)) == 4
    assert len(study.read(tmp_path / "pruning.jsonl")) == 4


def test_a_run_is_pruned_and_judged_as_the_engine_does(tmp_path):
    first = sparse_study_learn.make(PRUNED, tmp_path)
    assert first.sparsity == pytest.approx(0.5, abs=0.01)
    assert len(first.retrained) == 2
    again = sparse_study_learn.make(PRUNED, tmp_path)  # from the dense network that was kept
    assert (again.dense, again.retrained) == (first.dense, first.retrained)
    model, data = sparse_study_learn.dense(SMALL, tmp_path)
    assert evaluate(model.network, data.x_test, data.y_test).accuracy == first.dense


@pytest.mark.parametrize("cell", study.CELLS)
def test_backpropagation_holds_the_masks(cell):
    torch = pytest.importorskip("torch")
    import sparse_study_torch

    base = Base("reber", cell, (6, 6), epochs=1, lr=0.01, samples=96)
    learner = sparse_study_torch.Learner(base, sparse_study_learn.data_of(base))
    masks = learner.masks(PruneConfig(0.75, scope="hh", together=True))
    assert set(masks) == {"weight_hh_l0", "weight_hh_l1"}
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    (accuracy,) = learner.teach(1, 0.01, masks)
    after = learner.model.cells.state_dict()
    for name, mask in masks.items():
        assert not after[name][mask == 0].any()
        assert not torch.equal(after[name], before[f"cells.{name}"] * mask)
    assert accuracy == learner.accuracy()


@pytest.mark.parametrize("kind", study.GRAPHS)
def test_properties_are_those_of_the_graph_that_learned(kind, tmp_path):
    pytest.importorskip("networkx")
    structure = Structure(kind, 4, 0.5)
    base = Base("reber", "lstm", (12,), 1, 0.01, samples=64, seed=3, structure=structure)
    model, _ = sparse_study_learn.dense(base, tmp_path)
    graph = draw(kind, 12, 4, 0.5, 3, 0)
    assert np.array_equal(model.network.whole().blocks[0].masks["u"], recurrent_mask(graph, 4))
    assert sparse_study_page.properties(base)["edges"] == graph.sum() // 2


def test_epochs_to_regain():
    regain = sparse_study_page.epochs_to_regain
    assert regain(Outcome(0.95, 0.5, [0.9, 0.946, 0.94])) == 2
    assert regain(Outcome(0.95, 0.5, [0.9, 0.94])) is None


def test_what_was_kept_counts():
    assert Outcome(0.95, 0.5, [0.9, 0.94, 0.92]).reached == 0.92
    assert Outcome(0.95, 0.5, [0.9, 0.94, 0.92], kept_epoch=2).reached == 0.94


def test_tables_of_given_results(tmp_path):
    for cell, retrained in (("gru", [0.9, 0.948]), ("lstm", [0.7, 0.8])):
        base = Base("reber", cell, (50,), 1, 0.1)
        run = Run("pruning", base, PruneConfig(0.9, scope="ih"))
        study.append(tmp_path / "pruning.jsonl", Line(run, Outcome(0.95, 0.5, retrained)))
    for seed, after in enumerate((0.94, 0.96)):
        run = Run("patterns", Base("fsdd", "gru", (9,), 1, 0.1, seed=seed), PruneConfig(0.9, "1x4"))
        study.append(tmp_path / "patterns.jsonl", Line(run, Outcome(0.97, 0.5, [after])))
    page = "a <!-- table pruning pruning --> old <!-- end -->"
    page += "b <!-- table patterns fsdd gru --><!-- end -->"
    made = sparse_study_page.filled(page, tmp_path)
    assert "old" not in made
    assert "| gru | ih | 95.0 | 50.0 > 94.8 (2) |" in made
    assert "| lstm | ih | 95.0 | 50.0 > 80.0 (no) |" in made
    assert "| 1x4 | -2.0 +- 1.4 |" in made
    assert "| dense, trained on | not run |" in made
    assert sparse_study_page.filled(made, tmp_path) == made
    empty = "<!-- table structures --> | gru | 99 | <!-- end -->"
    assert sparse_study_page.filled(empty, tmp_path).splitlines()[2] == "Not run yet."


@pytest.mark.parametrize(("graphs", "told"), [(9, False), (10, True)])
def test_few_graphs_tell_no_correlation(graphs, told, tmp_path):
    pytest.importorskip("networkx")
    for seed in range(graphs):
        structure = Structure("watts_strogatz", 4, 0.5)
        base = Base("reber", "gru", (10 + seed,), 1, 0.1, seed=seed, structure=structure)
        line = Line(Run("graphs", base), Outcome(0.9 + seed / 200))
        study.append(tmp_path / "graphs.jsonl", line)
    own = sparse_study_page.strongest(sparse_study_page.lines(tmp_path, "graphs"))
    assert ("nodes +1.00" in own) == told
    assert ("fewer than 10" in own) != told


def test_the_page_says_what_was_measured():
    page = RESULTS.with_suffix(".md").read_text()
    pytest.importorskip("networkx")
    assert page.count("<!-- table") >= 4
    assert sparse_study_page.filled(page, RESULTS) == page
    for name in ("pruning", "patterns"):
        for line in (RESULTS / f"{name}.jsonl").read_text().splitlines():
            assert 0 < json.loads(line)["outcome"]["dense"] <= 1


def test_plots_of_results(tmp_path):
    pytest.importorskip("matplotlib")
    import sparse_study_plots

    for cell in study.CELLS:
        for level, scope in ((0.5, "ih"), (0.9, "ih"), (0.9, "hh"), (0.9, "both")):
            run = Run(
                "pruning", Base("reber", cell, (50,), 1, 0.1), PruneConfig(level, scope=scope)
            )
            study.append(tmp_path / "pruning.jsonl", Line(run, Outcome(0.95, 0.5, [0.9])))
    (path,) = sparse_study_plots.draw(tmp_path)
    first = path.read_bytes()
    assert b"lstm" in first
    assert list(sparse_study_plots.draw(tmp_path)) == [path]
    assert path.read_bytes() == first
