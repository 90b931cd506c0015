"""Learning-rate schedules against plain formulas, and what recipes may say of them."""

from __future__ import annotations

import math

import pytest

from edgelearn import rates, workflow
from edgelearn.config import parse_recipe, to_tables
from edgelearn.errors import ConfigError, OptionError
from edgelearn.rates import Constant, Cosine, Infinite, Span, Step
from edgelearn.stages import learning_rate

SPAN = Span(steps=200, epoch_steps=20)


def course(setting):
    return [rates.schedule(setting).share(step, SPAN) for step in range(SPAN.steps)]


def test_constant_is_the_rate_itself():
    assert course("constant") == [1.0] * 200


def test_cosine_falls_from_one_to_nothing():
    assert course("cosine") == pytest.approx([math.cos(math.pi * n / 400) ** 2 for n in range(200)])
    assert course(Cosine(end=0.5))[-1] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("rest", [Constant, Cosine, Step])
@pytest.mark.parametrize(("warmup", "steps"), [(0.1, 20), (50, 50), (1, 1)])
def test_a_warmup_rises_to_the_full_rate_and_the_rest_follows(rest, warmup, steps):
    found = course(rest(warmup=warmup))
    assert found[:steps] == pytest.approx([(n + 1) / steps for n in range(steps)])
    assert found[steps] == 1
    if rest is Cosine:
        after = [0.5 + 0.5 * math.cos(math.pi * n / (200 - steps)) for n in range(200 - steps)]
        assert found[steps:] == pytest.approx(after)


@pytest.mark.parametrize(
    ("setting", "falls"),
    [
        ("step", (100, 150)),
        (Step(milestones=(0.25, 90)), (50, 90)),
        (Step(every_epochs=3), (60, 120, 180)),
        (Step(every_epochs=6, milestones=(30,)), (30, 120)),
        (Step(milestones=()), ()),
    ],
)
def test_steps_fall_at_milestones(setting, falls):
    expected = [0.1 ** sum(n >= fall for fall in falls) for n in range(200)]
    assert course(setting) == pytest.approx(expected)


def test_infinite_has_four_phases():
    """Equation 1 of arXiv:2503.02844: linear, cosine, constant, exponential."""
    top, plateau, low = 1.0, 0.4, 0.4 * 0.05
    expected = []
    for n in range(200):
        if n < 10:
            expected.append((n + 1) / 10 * top)
        elif n < 10 + 40:
            part = math.pi * (n - 10) / 40
            expected.append(plateau + (top - plateau) / 2 * (1 + math.cos(part)))
        elif n < 160:
            expected.append(plateau)
        else:
            expected.append(plateau * (low / plateau) ** ((n - 160) / 40))
    setting = Infinite(warmup=0.05, cooldown=40, plateau=plateau, anneal=0.2, end=0.05)
    assert course(setting) == pytest.approx(expected)


def test_infinite_stays_on_its_plateau_and_goes_on_from_there():
    found = course("infinite")
    assert found[60:] == [0.3] * 140
    assert course(Infinite().resumed(0)) == [0.3] * 200
    annealed = course(Infinite().resumed(50))
    assert annealed[:151] == [0.3] * 151
    assert annealed[151:] == sorted(annealed[151:], reverse=True)
    assert annealed[-1] == pytest.approx(0.3 * 0.01 ** (49 / 50))


def test_no_phase_may_be_longer_than_a_stage():
    rates.require_room(Infinite(warmup=100, cooldown=0.25, anneal=0.25), SPAN)
    with pytest.raises(ConfigError, match="within the 200 steps of a stage, got 201 steps"):
        rates.require_room(Infinite(warmup=101, cooldown=0.25, anneal=0.25), SPAN)


def recipe_with(setting):
    tables = to_tables(workflow.embedded_recipe())
    tables["train"] |= {"lr_schedule": setting, "schedule": "simultaneous"}
    return parse_recipe(tables, "recipe")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("constant", "constant"),
        ({"kind": "constant", "warmup": 5}, Constant(warmup=5)),
        ({"kind": "cosine", "warmup": 0.05, "end": 0}, Cosine(warmup=0.05)),
        ({"kind": "step", "milestones": [0.5, 30]}, Step(milestones=(0.5, 30))),
        ({"kind": "infinite", "plateau": 0.2, "anneal": 0.1}, Infinite(plateau=0.2, anneal=0.1)),
    ],
)
def test_a_word_or_a_table_and_back_again(said, meant):
    recipe = recipe_with(said)
    assert recipe.train.lr_schedule == meant
    assert parse_recipe(to_tables(recipe), "again") == recipe


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("cosin", ["lr_schedule", "did you mean 'cosine'"]),
        (3, ["lr_schedule", "constant, cosine, infinite, step", "got 3"]),
        ({"kind": "cosin"}, ["lr_schedule.kind", "did you mean 'cosine'"]),
        ({"warmup": 0.1}, ["lr_schedule", "'kind'", "got none"]),
        ({"kind": "cosine", "warmpu": 0.1}, ["'warmpu'", "did you mean 'warmup'"]),
        ({"kind": "cosine", "warmup": 1.0}, ["lr_schedule.warmup", "< 1.0", "got 1.0"]),
        ({"kind": "cosine", "warmup": -1}, ["lr_schedule.warmup", ">= 0", "got -1"]),
        ({"kind": "cosine", "warmup": "long"}, ["lr_schedule.warmup", "'long'"]),
        ({"kind": "step", "factor": 0}, ["lr_schedule.factor", "> 0"]),
        ({"kind": "step", "milestones": [2.5]}, ["lr_schedule.milestones 1", "got 2.5"]),
        ({"kind": "step", "every_epochs": 0}, ["lr_schedule.every_epochs", ">= 1"]),
        ({"kind": "infinite", "plateau": 2}, ["lr_schedule.plateau", "<= 1"]),
    ],
)
def test_mistakes_are_named(said, words):
    with pytest.raises(ConfigError) as caught:
        recipe_with(said)
    for word in words:
        assert word in str(caught.value)


def test_there_is_one_plateau():
    with pytest.raises(ConfigError, match="lr_schedule: expected schedule = 'simultaneous'"):
        workflow.embedded_recipe(("train.lr_schedule=infinite", "train.schedule=layerwise"))
    assert workflow.embedded_recipe(("train.lr_schedule=infinite", "train.method=bp"))


def test_the_learning_rate_is_a_share_of_lr():
    train = recipe_with({"kind": "step", "factor": 0.5}).train
    assert learning_rate(train, 0, SPAN) == train.lr
    assert learning_rate(train, 150, SPAN) == train.lr / 4


def test_overrides_reach_into_a_table():
    words = ("train.lr_schedule.kind=infinite", "train.lr_schedule.plateau=0.5")
    at_once = "train.schedule=simultaneous"
    assert recipe_with("cosine") == workflow.embedded_recipe((at_once,))
    assert workflow.embedded_recipe((at_once, *words)).train.lr_schedule == Infinite(plateau=0.5)
    with pytest.raises(OptionError):
        workflow.embedded_recipe(("train.lr_schedule=cosine", words[1]))
