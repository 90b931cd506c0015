"""Budget files: quantities, strictness, verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelearn.errors import ConfigError
from firmware_sim.budget_file import parse_plan
from firmware_sim.budgets import METRICS, Budget, at_least, exactly, judge, parse_bytes
from firmware_sim.quantities import parse_quantity

HEAD = '[check]\ntargets = ["rpi-4b"]\n[[check.model]]\nname = "m"\nfile = "m.onnx"\n'


def plan(budget, head=HEAD):
    return parse_plan(f"{head}{budget}".encode(), Path("ci/edgelearn.toml"))


def refusal(budget, head=HEAD):
    with pytest.raises(ConfigError) as caught:
        plan(budget, head)
    assert "edgelearn.toml" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("24 MiB", "bytes", 24 * 2**20),
        ("400 kB", "bytes", 400_000),
        ("1.5KiB", "bytes", 1536),
        ("7 B", "bytes", 7),
        (512, "bytes", 512),
        ("512", "bytes", 512),
        ("40 ms", "seconds", 0.04),
        ("2 us", "seconds", 2e-6),
        (1.5, "seconds", 1.5),
        ("97 %", "fraction", 0.97),
        (0.97, "fraction", 0.97),
    ],
)
def test_quantities(text, dimension, value):
    assert parse_quantity(text, dimension, "b") == pytest.approx(value)


@pytest.mark.parametrize(
    ("value", "dimension"),
    [
        ("", "bytes"),
        ("MiB", "bytes"),
        ("-1 MiB", "bytes"),
        (-1, "bytes"),
        (True, "bytes"),
        (float("nan"), "bytes"),
        (float("inf"), "seconds"),
        ("1e999 B", "bytes"),
        ("1,5 MiB", "bytes"),
        ([1], "bytes"),
        (97, "fraction"),
    ],
)
def test_what_is_no_quantity_is_refused(value, dimension):
    with pytest.raises(ConfigError):
        parse_quantity(value, dimension, "b")


@pytest.mark.parametrize(
    ("text", "dimension", "meant"),
    [("24 Mib", "bytes", "MiB"), ("24 KB", "bytes", "kB"), ("40 mS", "seconds", "ms")],
)
def test_a_misspelt_unit_names_the_closest(text, dimension, meant):
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'"):
        parse_quantity(text, dimension, "b")


def test_a_unit_of_another_dimension_is_refused():
    with pytest.raises(ConfigError, match="one of the units"):
        parse_quantity("40 ms", "bytes", "b")


def test_sizes_of_options():
    assert parse_bytes("24MB", "option --budget") == 24_000_000
    with pytest.raises(ConfigError, match="option --budget"):
        parse_bytes("much", "option --budget")


def test_dotted_nested_and_quoted_keys_are_the_same():
    ways = (
        "[check.model.budget]\nexport.onnx.size = 8",
        "[check.model.budget.export.onnx]\nsize = 8",
        '[check.model.budget]\n"export.onnx.size" = 8',
    )
    for way in ways:
        assert plan(way).models[0].budgets == (Budget("export.onnx.size", 8, "error"),)


def test_levels_and_paths():
    found = plan('budget.infer.latency_p90 = ["warn", "40 ms"]\nbudget.infer.arena = ["error", 9]')
    assert found.targets == ("rpi-4b",)
    assert found.models[0].file == Path("ci/m.onnx"), "relative to the budget file"
    assert set(found.models[0].budgets) == {
        Budget("infer.latency_p90", 0.04, "warn"),
        Budget("infer.arena", 9, "error"),
    }


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_written(metric):
    assert plan(f"budget.{metric} = 1").models[0].budgets[0].metric == metric


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ("budget.infer.arenas = 9", "did you mean 'infer.arena'?"),
        ("budget.inferarena = 9", "did you mean 'infer.arena'?"),
        ('budget.infer.arena = "24 Mib"', "did you mean 'MiB'?"),
        ('budget.infer.arena = ["warning", 9]', '["warn", value]'),
        ('budget.infer.arena = ["warn"]', '["warn", value]'),
        ("budget.infer.arena = []", '["warn", value]'),
        ("budget = {}", "an empty budget"),
        ("", "the key 'budget'"),
        ("budget = 3", "budget"),
        ("budgets.infer.arena = 9", "did you mean 'budget'?"),
        ('budget.infer.arena = 9\nrecipe = "r.toml"', "either recipe or file"),
        ('budget.infer.arena = 9\nphases = ["train"]', "add 'infer' to phases"),
        ('budget.infer.arena = 9\nphases = ["test"]', "phases"),
        ('budget.regress = { infer.arena = "+2 %" }', "baseline"),
    ],
)
def test_a_wrong_budget_is_refused(budget, says):
    assert says in refusal(budget)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("", "the key 'check'"),
        ("[check]\n", "the key 'model'"),
        ("[check]\nmodel = []\n", "no [[check.model]]"),
        ("[chek]\n", "did you mean 'check'?"),
        ('[check]\nbaseline = "b.json"\n', "baseline"),
        ('[check]\ntarget = ["rpi-4b"]\nmodel = []\n', "did you mean 'targets'?"),
        ("[[check.model]]\nname = 'm'\nbudget.infer.arena = 1\n", "either recipe or file"),
        ("[[check.model]]\nname = 'm'\nfile = 'f'\nbudget.infer.latency = 1\n", "[check] targets"),
        ("[check\n", "a TOML file"),
    ],
)
def test_a_wrong_file_is_refused(head, says):
    assert says in refusal("", head)


@pytest.mark.parametrize(
    ("value", "metric", "level", "verdict"),
    [
        (exactly(10), "infer.arena", "error", "pass"),
        (exactly(11), "infer.arena", "error", "fail"),
        (exactly(11), "infer.arena", "warn", "warn"),
        (exactly(0.5, "measured"), "accuracy.min", "error", "pass"),
        (at_least(11), "infer.latency", "error", "fail"),
        (at_least(11), "infer.latency", "warn", "warn"),
        (at_least(9), "infer.latency", "error", "unproven"),
        (at_least(9), "infer.latency", "warn", "unproven"),
    ],
)
def test_verdicts(value, metric, level, verdict):
    limit = 0.5 if metric == "accuracy.min" else 10
    assert judge(value, Budget(metric, limit, level)) == verdict


def test_accuracy_has_a_floor():
    assert judge(exactly(0.49, "measured"), Budget("accuracy.min", 0.5, "error")) == "fail"
