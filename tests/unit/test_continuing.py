"""Going on from the plateau of an infinite schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgelearn import modelfile, trainer, workflow
from edgelearn.continuing import go_on
from edgelearn.errors import OptionError
from edgelearn.progress import Observer, Standing

PLATEAU = (
    "train.schedule=simultaneous",
    "train.optimizer=momentum",
    "train.lr=0.05",
    "train.lr_schedule={ kind = 'infinite', warmup = 20, cooldown = 60 }",
)


def trained(digits, epochs, *settings):
    recipe = workflow.embedded_recipe((f"train.epochs={epochs}", *settings))
    model, _ = workflow.train(workflow.new_model(recipe, digits), digits, Observer())
    return model


def rates(model, digits):
    """The learning rates of a run, by the steps it makes."""
    found = []
    original = trainer.learning_rate
    trainer.learning_rate = lambda *args: found.append(original(*args)) or found[-1]
    try:
        done, _ = workflow.train(model, digits, Observer())
    finally:
        trainer.learning_rate = original
    return done, found


def test_more_epochs_are_those_of_a_longer_run(digits, tmp_path):
    """To the bit, through a file: parameters, and what the optimiser remembers."""
    whole = trained(digits, 4, *PLATEAU)
    path = tmp_path / "plateau.safetensors"
    modelfile.save(path, trained(digits, 2, *PLATEAU))
    again, found = rates(go_on(modelfile.load(path), digits, more=2, anneal=0), digits)
    assert found == [0.05 * 0.3] * 158
    assert again.recipe.train.epochs == 4
    assert [epoch.loss for epoch in again.history] == [epoch.loss for epoch in whole.history]
    for name, value in whole.network.stored().items():
        assert np.array_equal(again.network.stored()[name], value)


def test_annealing_falls_at_the_end_and_settles(digits):
    plateau = trained(digits, 3, *PLATEAU, "train.lr=0.3")
    copy = replace(plateau, network=plateau.network.with_arrays(plateau.network.stored()))
    annealed, found = rates(go_on(copy, digits, more=1, anneal=2), digits)
    assert found[:80] == [0.3 * 0.3] * 80
    assert found[80:] == sorted(found[80:], reverse=True)
    assert found[-1] == pytest.approx(0.3 * 0.3 * 0.01, rel=0.05)
    assert len(annealed.history) == 6
    assert annealed.history[-1].loss < annealed.history[3].loss
    further, rest = rates(go_on(annealed, digits, more=1, anneal=0), digits)
    assert rest == [0.3 * 0.3] * 79
    assert further.recipe.train.epochs == 7


def test_there_must_be_a_plateau(digits):
    with pytest.raises(OptionError, match="another learning-rate schedule"):
        go_on(trained(digits, 1), digits, more=1, anneal=0)


def test_a_checkpoint_is_finished_first(digits):
    model = replace(trained(digits, 2, *PLATEAU), standing=Standing())
    with pytest.raises(OptionError, match="finish it with --resume"):
        go_on(model, digits, more=1, anneal=0)
