"""Runs of the study by tpSGD: a dense network, trained once and kept, then pruned and retrained."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgelearn import datasets, workflow
from edgelearn.config import Recipe, parse_recipe
from edgelearn.datasets import Dataset, Source
from edgelearn.evaluation import evaluate
from edgelearn.files import write_atomic
from edgelearn.modelfile import Model
from edgelearn.progress import Observer
from sparse_study_runs import Base, Outcome, Run

INPUT = {"normalize": "standard", "over": "channel"}
SYMBOLS = {"normalize": "none"}
BATCH = {"reber": 32, "fsdd": 16}


def recipe_of(base: Base) -> Recipe:
    """The recipe of a dense network: recurrent layers and a head that sees last state and mean."""
    cell, _, activation = base.cell.partition("-")
    layers: list[dict[str, Any]] = [
        {"kind": cell, "units": units, "masked": True, "returns": "sequence"}
        for units in base.units
    ]
    layers[-1]["returns"] = "last_mean"
    for layer in layers:
        layer["learn_projection"] = True
        if activation:
            layer["activation"] = activation
        if base.structure is not None:
            layer["structure"] = msgspec.to_builtins(base.structure)
    source = Source(name=base.data, samples=base.samples)
    classes = len(datasets.describe(source).classes)
    layers.append({"kind": "dense", "units": classes, "activation": "softmax"})
    tables = {
        "name": f"{base.data}-{base.cell}",
        "dataset": {"name": base.data},
        "input": SYMBOLS if base.data == "reber" else INPUT,
        "layers": layers,
        "train": {
            "epochs": base.epochs,
            "batch": BATCH[base.data],
            "lr": base.lr,
            "optimizer": "adam",
            "schedule": "simultaneous",
            "seed": base.seed,
        },
    }
    return parse_recipe(tables, "study")


@cache
def whole(name: str) -> Dataset:
    """A data set; they are few."""
    return datasets.load(Source(name=name))


def data_of(base: Base) -> Dataset:
    """What `base` is trained and tested on."""
    found = whole(base.data)
    return found if base.samples is None else found.first(base.samples)


def dense(base: Base, folder: Path) -> tuple[Model, Dataset]:
    """The trained network of `base`, from `folder` if it was trained before."""
    data = data_of(base)
    model = workflow.new_model(recipe_of(base), data)
    name = hashlib.sha256(msgspec.json.encode(base)).hexdigest()[:16]
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path) as arrays:
            network = model.network.with_arrays(dict(arrays))
        return replace(model, network=network), data
    model, _ = workflow.train(model, data, Observer())
    content = io.BytesIO()
    np.savez(content, **model.network.stored())
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
    return model, data


def make(run: Run, folder: Path) -> Outcome:
    """What a run comes to."""
    began = time.perf_counter()
    model, data = dense(run.base, folder)
    if run.prune is None:
        with workflow.one_thread():
            reached = evaluate(model.network, data.x_test, data.y_test).accuracy
        return Outcome(reached, seconds=round(time.perf_counter() - began, 1))
    train = msgspec.structs.replace(model.recipe.train, lr=run.lr, lr_schedule=run.lr_schedule)
    learner = replace(model, recipe=msgspec.structs.replace(model.recipe, train=train))
    _, report = workflow.prune(learner, data, run.prune, Observer())
    return Outcome(
        dense=report.accuracy_before,
        pruned=report.accuracy_after_prune,
        retrained=report.accuracy_after_retrain,
        kept_epoch=report.kept_epoch,
        sparsity=report.sparsity,
        nonzero=report.nonzero,
        seconds=round(time.perf_counter() - began, 1),
    )
