"""Fixtures that every kind of test shares: real data, small real models."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgelearn import datasets, modelfile, workflow
from edgelearn.progress import Observer


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets, or a skip that says what is missing."""
    folder = os.environ.get("EDGELEARN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGELEARN_DATA does not name a folder of data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def mnist_folder(data_folder: Path) -> Path:
    """MNIST's four files, or a skip."""
    if not (data_folder / "mnist").is_dir():
        pytest.skip("EDGELEARN_DATA has no folder mnist")
    return data_folder / "mnist"


@pytest.fixture(scope="session")
def digits() -> datasets.Dataset:
    """The digits that are shipped."""
    return datasets.load(datasets.Source(name="digits"))


@pytest.fixture(scope="session")
def ink(digits: datasets.Dataset) -> datasets.Dataset:
    """A regression on the digits: from the upper half, the ink of the lower, left and right."""

    def part(x):
        images = x.reshape(-1, 8, 8).astype(np.float32)
        lower = images[:, 4:]
        y = np.stack([lower[..., :4].sum(axis=(1, 2)), lower[..., 4:].sum(axis=(1, 2))], axis=1)
        return images[:, :4].reshape(len(x), 32), y

    (x_train, y_train), (x_test, y_test) = part(digits.x_train), part(digits.x_test)
    return datasets.Dataset(
        "ink", x_train, y_train, x_test, y_test, classes=(), outputs=("left", "right")
    ).checked()


@pytest.fixture(scope="session")
def trained(digits: datasets.Dataset) -> modelfile.Model:
    """The default model after a short training; do not change its arrays."""
    recipe = workflow.embedded_recipe(("train.epochs=3",))
    model, report = workflow.train(workflow.new_model(recipe, digits), digits, Observer())
    assert report is not None
    return model


@pytest.fixture(scope="session")
def model_path(trained: modelfile.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`trained` as a file."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    modelfile.save(path, trained)
    return path
