"""A mask is taken for what it is, and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn import cli

RECIPE = """
name = "sequences"
dataset = {{ format = "npz", path = "data.npz" }}
[[layers]]
kind = "mingru"
units = 4
masked = {masked}
[[layers]]
kind = "dense"
units = 2
activation = "softmax"
[train]
epochs = 1
"""


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("lengths", [True, False])
def test_masked_must_fit_the_data(tmp_path, monkeypatch, capsys, masked, lengths):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((20, 5, 3)), "y": np.arange(20) % 2}
    if lengths:
        arrays["lengths"] = rng.integers(1, 6, 20)
    np.savez("data.npz", **arrays)
    (tmp_path / "r.toml").write_text(RECIPE.format(masked=str(masked).lower()), "utf-8")
    code = cli.run(["train", "r.toml"])
    err = capsys.readouterr().err
    if masked == lengths:
        assert code == 0
    else:
        assert code == 2
        assert f"layer 'mingru1': expected masked = {str(lengths).lower()}" in err
        assert not (tmp_path / "model.safetensors").exists()
