"""`edgelearn export model.c`, and what a program made of the files does."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from c_programs import lane_of, session_of

from edgelearn import modelfile, workflow
from edgelearn.cli import run
from edgelearn.config import parse_recipe
from edgelearn.export.c_program import to_program
from edgelearn.export.c_target import split
from edgelearn.lowering import to_train_graph

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
LEARNERS = {
    "mlp": ((64,), [{"kind": "dense", "units": 32, "activation": "tanh"}], 0.02),
    "cnn": ((8, 8, 1), [{"kind": "conv2d", "filters": 8}, {"kind": "max_pool"}], 0.02),
    "gru": ((8, 8), [{"kind": "gru", "units": 16}], 0.2),
    "lstm": ((8, 8), [{"kind": "lstm", "units": 16}], 0.5),
}


def export(model, out, *options):
    return run(["export", str(out), "--model", str(model), *options])


@pytest.mark.parametrize("phase", ["infer", "train"])
@pytest.mark.parametrize("batch", [1, 3])
def test_source_and_header_are_written_and_were_run(phase, batch, model_path, tmp_path, capfd):
    out = tmp_path / "digits-mlp.c"
    assert export(model_path, out, "--phase", phase, "--batch", str(batch), "--json") == 0
    found = json.loads(capfd.readouterr().out)
    functions = ["predict"] if phase == "infer" else ["predict", "learn"]
    assert list(found["max_abs_error"]) == [f"C {name}" for name in functions]
    assert all(0 <= error <= 1e-6 for error in found["max_abs_error"].values())
    assert {path.name for path in tmp_path.iterdir()} == {"digits-mlp.c", "digits-mlp.h"}
    source, header = out.read_text(), out.with_suffix(".h").read_text()
    assert '#include "digits-mlp.h"' in source
    assert "int digits_mlp_predict(const float *x, float *probabilities);" in header
    assert ("digits_mlp_learn(const float *x, const int32_t *y, float lr" in header) == (
        phase == "train"
    )
    assert "malloc" not in source


def test_inference_keeps_all_weights_in_flash(model_path, tmp_path):
    assert export(model_path, tmp_path / "m.c") == 0
    source = (tmp_path / "m.c").read_text()
    changing = [
        line for line in source.splitlines() if line.startswith("static ") and line.endswith("];")
    ]
    assert changing == ["static float arena[192];"]


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_program_learns(kind, tmp_path, digits):
    """From new weights, on real digits, one sample at a time."""
    shape, layers, lr = LEARNERS[kind]
    parts = {f"x_{p}": getattr(digits, f"x_{p}").reshape(-1, *shape) for p in ("train", "test")}
    tables = {"dataset": {"name": "digits"}, "layers": [*layers, HEAD]}
    model = workflow.new_model(parse_recipe(tables, kind), replace(digits, **parts))
    graphs = split(to_train_graph(model.network))
    program = to_program("model", graphs)
    x, y = parts["x_train"].astype(np.float32), digits.y_train
    states = {}
    with session_of(program, tmp_path, "-O2") as session:
        predict, learn = (lane_of(program, session, name).run for name in ("predict", "learn"))

        def accuracy():
            test = parts["x_test"][:200].astype(np.float32)
            found = [predict({"x": row[None], **states})["probabilities"] for row in test]
            return np.mean([p.argmax() for p in found] == digits.y_test[:200])

        before = accuracy()
        for i in np.arange(2500) % len(x):
            feeds = {"x": x[i, None], "y": y[i, None], "lr": np.array(lr, np.float32)}
            found = learn({**feeds, **states})
            states = {name: found[name] for name in program.state_names}
        after = accuracy()
    assert before < 0.4
    assert after > 0.6


def test_a_stream_remembers_until_it_is_reset(tmp_path, digits, capfd):
    rows = {f"x_{p}": getattr(digits, f"x_{p}").reshape(-1, 8, 8) for p in ("train", "test")}
    tables = {
        "dataset": {"name": "digits"},
        "input": {"over": "channel"},
        "layers": [{"kind": "gru", "units": 6}, HEAD],
    }
    model = workflow.new_model(parse_recipe(tables, "rows"), replace(digits, **rows))
    modelfile.save(tmp_path / "model.safetensors", model)
    out = tmp_path / "stream.c"
    assert export(tmp_path / "model.safetensors", out, "--form", "stream") == 0
    assert "void stream_reset_state(void);" in out.with_suffix(".h").read_text()
    assert "largest error" in capfd.readouterr().out


def test_without_a_compiler_nothing_is_written(model_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    out = tmp_path / "new" / "m.c"
    out.parent.mkdir()
    assert export(model_path, out) == 3
    assert "apt-get install gcc" in capsys.readouterr().err
    assert not any(out.parent.iterdir())


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_wrong_files_are_not_kept(phase, model_path, tmp_path, capsys, monkeypatch):
    from edgelearn.export import c_target

    right = c_target.source_text

    def wrong(program):
        return right(program).replace("*out++ = p + q", "*out++ = p")

    monkeypatch.setattr(c_target, "source_text", wrong)
    assert export(model_path, tmp_path / "m.c", "--phase", phase) == 1
    assert "E1001" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_what_does_not_compile_is_not_kept(model_path, tmp_path, capsys, monkeypatch):
    from edgelearn.export import c_target

    monkeypatch.setattr(c_target, "source_text", lambda program: "int none(void) { return x; }")
    assert export(model_path, tmp_path / "m.c") == 1
    assert "compiling the exported C" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_name_that_cannot_be_included(model_path, tmp_path, capsys):
    assert export(model_path, tmp_path / 'a"b.c') == 2
    assert "letters, digits" in capsys.readouterr().err
