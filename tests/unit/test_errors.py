"""The error tree: codes, exit codes, texts, and that it travels between processes."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle  # noqa: TID251  what multiprocessing does with an exception
import pkgutil
import re

import pytest

import edgelearn
import firmware_sim
from edgelearn import errors
from edgelearn.errors import EdgelearnError, explanations, unknown

CLASSES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, EdgelearnError)
]
LEAVES = [kind for kind in CLASSES if "code" in vars(kind) and kind is not EdgelearnError]
GROUPS = [kind for kind in CLASSES if kind not in LEAVES and kind is not EdgelearnError]


def parts():
    return {"expected": "this", "got": "that", "fix": "do so"}


@pytest.mark.parametrize("kind", LEAVES)
def test_codes(kind):
    assert re.fullmatch(r"E[1-4]0\d\d", kind.code)
    assert int(kind.code[1]) == kind.exit_code
    assert sum(other.code == kind.code for other in LEAVES) == 1


def test_groups_are_the_exit_codes():
    assert [group.exit_code for group in GROUPS] == [1, 2, 3, 4]
    assert all(sum(issubclass(kind, group) for group in GROUPS) == 1 for kind in LEAVES)


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_is_explained(kind):
    text = inspect.getdoc(kind)
    assert text
    assert text is not inspect.getdoc(kind.__mro__[1])
    assert text.partition("\n")[0].endswith(".")
    assert explanations()[kind.code] is kind


def test_no_error_is_defined_elsewhere():
    for package in (edgelearn, firmware_sim):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name != "edgelearn.bench.twins":  # which needs PyTorch
                importlib.import_module(module.name)
    assert set(explanations().values()) == set(LEAVES)


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^ +[| ]*[|`]- (\w+) +(E?\d+)", errors.__doc__, re.MULTILINE)
    real = [(kind.__name__, kind.code) for kind in LEAVES]
    real += [(kind.__name__, str(kind.exit_code)) for kind in GROUPS]
    assert sorted(drawn) == sorted(real)
    order = re.findall(r"- (\w+)", errors.__doc__)
    assert order == [kind.__name__ for kind in CLASSES if kind is not EdgelearnError]


@pytest.mark.parametrize("kind", CLASSES)
def test_message_and_round_trips(kind):
    error = kind("here", **parts())
    assert str(error) == f"{kind.code} here: expected this, got that. Fix: do so"
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert type(again) is kind
        assert str(again) == str(error)
        assert (again.where, again.expected, again.got, again.fix) == (
            "here", "this", "that", "do so",
        )  # fmt: skip


def test_a_message_is_one_line():
    error = errors.DataFileError("a\nb", expected="c\r\nd", got="e\u2028f", fix="g\n")
    assert str(error) == "E4003 a b: expected c d, got e f. Fix: g"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_an_unknown_name_lists_the_known_and_points_at_the_closest():
    error = unknown("device", "rpi-zreo", ["rpi-zero", "jetson"])
    assert error.exit_code == 2
    assert "jetson, rpi-zero" in str(error)
    assert "write 'rpi-zero'" in str(error)
    assert "write" not in str(unknown("device", "xyz", ["rpi-zero", "jetson"]))
