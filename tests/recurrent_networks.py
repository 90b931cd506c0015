"""Recurrent networks on the shipped digits, row by row, for tests."""

from __future__ import annotations

from dataclasses import replace

from edgelearn.config import parse_recipe

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}


def recipe_of(*layers, over="channel", **settings):
    tables = {
        "name": "rows",
        "dataset": {"name": "digits"},
        "input": {"over": over},
        "layers": [*layers, HEAD],
        "train": {"schedule": "simultaneous", "batch": 16, **settings},
    }
    return parse_recipe(tables, "rows")


def as_steps(data, steps):
    """The digits as sequences of that many steps."""
    shape = (-1, steps, 64 // steps)
    return replace(data, x_train=data.x_train.reshape(shape), x_test=data.x_test.reshape(shape))
