"""Emulated cores: the same bits as here, and what a call takes."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest
from c_programs import built

from edgelearn import workflow
from edgelearn.config import parse_recipe
from edgelearn.errors import MissingRuntime, OptionError, ParityError
from edgelearn.export.c_program import to_program
from edgelearn.export.c_target import split
from edgelearn.export.c_trial import Trial
from edgelearn.lowering import to_train_graph
from firmware_sim.emulate import CORES, Source, core_of, emulate

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
NETWORKS = {
    "mlp": ((64,), [{"kind": "dense", "units": 12}, {"kind": "dropout"}, {"kind": "layer_norm"}]),
    "cnn": ((8, 8, 1), [{"kind": "conv2d", "filters": 4, "padding": "same"}, {"kind": "max_pool"}]),
    "gru": ((4, 16), [{"kind": "gru", "units": 6}]),
    "lstm": ((4, 16), [{"kind": "lstm", "units": 6}]),
    "mingru": ((4, 16), [{"kind": "mingru", "units": 6}]),
}
CPUS = {"mlp": ["Cortex-M0+", "Cortex-M33F", "Cortex-A7"], "cnn": ["Cortex-M0+"]}
"""Besides a Cortex-M4F and a Cortex-A53."""


def trial_of(layers, shape, digits, calls=3, batch=2, **train):
    parts = {f"x_{p}": getattr(digits, f"x_{p}").reshape(-1, *shape) for p in ("train", "test")}
    tables = {"dataset": {"name": "digits"}, "layers": [*layers, HEAD], "train": train}
    model = workflow.new_model(parse_recipe(tables, "small"), replace(digits, **parts))
    graphs = split(to_train_graph(model.network))
    extra = {"golden/x": parts["x_train"][:8].astype("f4"), "golden/y": digits.y_train[:8]}
    program = to_program("model", graphs, {"learn": batch})
    return Trial(program, graphs, extra, calls)


def emulated(core, trial):
    for name in ("gcc", "size", core.emulator[0]):
        command = name if name.startswith("qemu") else f"{core.tools}-{name}"
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed: apt-get install {' '.join(core.packages)}")
    return emulate(core, Source("model", trial.files(on_board=core.is_board)), trial.script())


def run_here(trial, folder):
    made = built(trial.program, folder, "-O2")
    return subprocess.run([made], input=trial.script(), capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_bits_on_every_core(kind, digits, tmp_path):
    """Predictions, losses and all parameters after learning."""
    shape, layers = NETWORKS[kind]
    trial = trial_of(layers, shape, digits)
    here = run_here(trial, tmp_path)
    trial.require(here, "here", "cc")
    for cpu in ["Cortex-M4F", "Cortex-A53", *CPUS.get(kind, [])]:
        assert emulated(CORES[cpu], trial).output == here, cpu


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_static_ram_is_the_planners_to_the_byte(optimizer, digits):
    trial = trial_of([{"kind": "dense", "units": 12}], (64,), digits, optimizer=optimizer)
    for cpu in ("Cortex-M0+", "Cortex-M4F"):
        assert emulated(CORES[cpu], trial).ram_bytes == trial.program.ram_bytes


def test_a_perceptron_learns_in_hardly_more_than_its_parameters(digits):
    """784-128-10: at most 1.1 times the parameters and the largest layer's activations."""
    wide = {f"x_{p}": getattr(digits, f"x_{p}").repeat(13, 1)[:, :784] for p in ("train", "test")}
    layers = [{"kind": "dense", "units": 128}]
    trial = trial_of(layers, (784,), replace(digits, **wide), calls=1, batch=1)
    done = emulated(CORES["Cortex-M4F"], trial)
    parameters_bytes = 4 * (784 * 128 + 128 + 128 * 10 + 10)
    assert trial.program.states_bytes == parameters_bytes
    assert done.ram_bytes == trial.program.ram_bytes
    assert done.ram_bytes <= 1.1 * (parameters_bytes + 4 * 784)


def test_a_call_is_measured(digits):
    trial = trial_of([{"kind": "dense", "units": 12}], (64,), digits)
    done = emulated(CORES["Cortex-M4F"], trial)
    by_command = {c: [call for call in done.calls if call.command == c] for c in "pl"}
    assert [len(calls) for calls in by_command.values()] == [3, 3]
    products = 64 * 12 + 12 * 10
    for call in done.calls:
        assert products < call.instructions < 400 * products
        assert 16 <= call.stack_bytes < 1024
        assert call.stack_bytes % 4 == 0
    assert min(c.instructions for c in by_command["l"]) > max(
        c.instructions for c in by_command["p"]
    )
    again = emulated(CORES["Cortex-M4F"], trial)
    assert again.calls == done.calls
    slow = emulated(CORES["Cortex-M3"], trial)
    assert min(c.instructions for c in slow.calls) > max(c.instructions for c in by_command["p"])


def test_what_is_wrong_is_seen(digits):
    trial = trial_of([{"kind": "dense", "units": 12}], (64,), digits)
    output = bytearray(emulated(CORES["Cortex-M4F"], trial).output)
    output[-1] ^= 64
    with pytest.raises(ParityError, match="Cortex-M4F"):
        trial.require(bytes(output), "emulating", "Cortex-M4F")


def test_what_is_missing_is_named(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    trial = trial_of([], (64,), digits)
    with pytest.raises(MissingRuntime, match="apt-get install gcc-arm-none-eabi"):
        emulate(CORES["Cortex-M4F"], Source("model", trial.files(on_board=True)), b"")


def test_an_unknown_core():
    with pytest.raises(OptionError, match="one of Cortex-M0"):
        core_of("Xtensa")
