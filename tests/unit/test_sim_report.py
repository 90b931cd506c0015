"""Memory and the roofline, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import OptionError
from edgelearn.ir import BATCH, Builder, plan_arena
from edgelearn.ir.ops import AddOuter, Gather, Reshape, Softmax
from firmware_sim.devices import parse_profile
from firmware_sim.latency import roofline
from firmware_sim.memory import account
from firmware_sim.report import simulate

WEIGHTS = 4 * (64 * 128 + 128 + 128 * 10 + 10)
MOVED = {
    "z1": 4 * (64 + 64 * 128 + 128),
    "a1": 4 * (128 + 128 + 128),
    "h": 4 * (128 + 128),
    "z2": 4 * (128 + 128 * 10 + 10),
    "a2": 4 * (10 + 10 + 10),
    "p": 4 * (10 + 10),
}


def mlp():
    b = Builder("mlp")
    x = b.input("x", (BATCH, 64))
    w1 = b.constant("w1", np.ones((64, 128), np.float32))
    b1 = b.constant("b1", np.ones(128, np.float32))
    w2 = b.constant("w2", np.ones((128, 10), np.float32))
    b2 = b.constant("b2", np.ones(10, np.float32))
    z = b.binary("add", b.matmul(x, w1, name="z1"), b1, name="a1")
    h = b.unary("tanh", z, name="h")
    z = b.binary("add", b.matmul(h, w2, name="z2"), b2, name="a2")
    return b.graph([b.apply(Softmax(), z, name="p")])


def board(kind="linux", **facts):
    """Two cores at 1 GHz with 2 FLOP a cycle, and `facts`."""
    known = {"cores": 2, "clock_hz": 1e9, "flops_per_cycle": 2, "ram_bytes": 65536, **facts}
    lines = [
        f"{k} = {{ value = {v}, source = 'made up', confidence = 'low' }}" for k, v in known.items()
    ]
    text = "\n".join(["name = 'b'", f"kind = '{kind}'", "cpu = 'c'", *lines])
    return parse_profile(text.encode(), "board", "board.toml")


def costs(profile, threads=1, graph=None):
    graph = (graph or mlp()).bind(1)
    return {c.name: c for c in roofline(graph, plan_arena(graph), profile, threads)}


def test_memory_on_linux_and_on_a_microcontroller():
    linux = simulate(mlp(), board())
    assert linux.weights_bytes == linux.flash_bytes == WEIGHTS
    assert linux.arena_bytes == 256 + 512
    assert linux.peak_ram_bytes == WEIGHTS + 768
    mcu = simulate(mlp(), board("mcu", flash_bytes=65536))
    assert mcu.peak_ram_bytes == mcu.arena_bytes == 768
    assert mcu.flash_bytes == WEIGHTS


def test_more_samples_need_more_arena_only():
    one, four = simulate(mlp(), board()), simulate(mlp(), board(), batch=4)
    assert four.arena_bytes == 4 * one.arena_bytes
    assert four.weights_bytes == one.weights_bytes


@pytest.mark.parametrize(
    ("ram", "flash", "fits"),
    [(768, WEIGHTS, True), (767, WEIGHTS, False), (768, WEIGHTS - 1, False)],
)
def test_fits_is_exact(ram, flash, fits):
    assert simulate(mlp(), board("mcu", ram_bytes=ram, flash_bytes=flash)).fits is fits


def test_states_are_in_ram_and_their_first_values_in_flash():
    b = Builder("step")
    x, d = b.input("x", (1, 8)), b.input("d", (1, 4))
    w = b.state("w", np.ones((8, 4), np.float32))
    b.state("h", np.zeros((1, 16), np.float32))
    b.update(w, b.apply(AddOuter(), w, x, d))
    graph = b.graph([])
    memory = account(graph, plan_arena(graph), "mcu")
    assert memory.states_bytes == 4 * (32 + 16)
    assert memory.arena_bytes == 32 + 16
    assert memory.peak_ram_bytes == memory.states_bytes + memory.arena_bytes
    assert memory.flash_bytes == 4 * 32, "the state that starts at zero is not stored"


def test_macs_and_bytes_by_hand():
    found = costs(board())
    assert {name: c.bytes for name, c in found.items()} == MOVED
    assert {name: c.macs for name, c in found.items() if c.macs} == {"z1": 8192, "z2": 1280}


def test_without_a_memory_rate_only_arithmetic_counts():
    found = costs(board())
    assert found["z1"].seconds == pytest.approx(2 * 8192 / 2e9)
    assert found["z1"].bound == "compute"
    assert found["h"].seconds == 0
    assert found["h"].bound == "none"


def test_without_a_cache_every_byte_costs():
    found = costs(board(bandwidth_core_bytes_per_s=1e9))
    assert found["z1"].bound == "memory"
    assert {name: c.seconds for name, c in found.items()} == pytest.approx(
        {name: size / 1e9 for name, size in MOVED.items()}
    )


def test_the_slower_of_arithmetic_and_memory_counts():
    found = costs(board(bandwidth_core_bytes_per_s=1e10))
    assert found["z1"].seconds == pytest.approx(8.192e-6), "compute: memory would take 3.35 us"
    assert found["h"].seconds == pytest.approx(1024 / 1e10)


def test_what_fits_in_the_cache_costs_no_memory_time():
    found = costs(board(bandwidth_core_bytes_per_s=1e9, cache_bytes=WEIGHTS))
    assert all(c.dram_bytes == 0 for c in found.values())
    assert found["z1"].bound == "compute"


def test_a_cache_spares_its_share_of_the_weights():
    found = costs(board(bandwidth_core_bytes_per_s=1e9, cache_bytes=WEIGHTS / 2))
    assert found["z1"].dram_bytes == 4 * 64 * 128 / 2
    assert found["z2"].dram_bytes == 4 * 128 * 10 / 2
    assert found["z1"].bytes == MOVED["z1"], "what moves does not depend on the cache"


def test_weights_are_fetched_once_a_run():
    b = Builder("again")
    w = b.constant("w", np.ones((64, 64), np.float32))
    v = b.constant("v", np.ones((64, 64), np.float32))
    first = b.matmul(b.input("x", (1, 64)), w, name="first")
    again = b.matmul(first, w, name="again")
    graph = b.graph([b.matmul(again, v, name="other")])
    size = 4 * 64 * 64
    found = costs(board(bandwidth_core_bytes_per_s=1e9, cache_bytes=size), graph=graph)
    assert found["first"].dram_bytes == found["other"].dram_bytes == size / 2
    assert found["again"].dram_bytes == 0, "w can still be in the cache"


def test_threads_share_arithmetic_and_the_bus():
    profile = board(bandwidth_core_bytes_per_s=1e9, bandwidth_bytes_per_s=1.5e9)
    assert costs(profile, threads=2)["z1"].seconds == pytest.approx(MOVED["z1"] / 1.5e9)
    assert costs(board(), threads=2)["z1"].seconds == pytest.approx(2 * 8192 / 4e9)


def test_a_view_moves_nothing_and_a_copy_does():
    b = Builder("views")
    x = b.input("x", (2, 8))
    copied = b.apply(Reshape((16,)), x, name="copied")
    b.apply(Reshape((4, 4)), copied, name="view")
    found = costs(board(bandwidth_core_bytes_per_s=1e9), graph=b.graph(["view"]))
    assert found["copied"].bytes == 2 * 64, "an input keeps its storage"
    assert found["view"].bytes == 0


def test_a_gather_reads_only_its_rows():
    b = Builder("embed")
    table = b.constant("table", np.ones((1000, 4), np.float32))
    b.apply(Gather(), table, b.input("i", (3,), "int32"), name="rows")
    found = costs(board(), graph=b.graph(["rows"]))
    assert found["rows"].bytes == 3 * 16 + 3 * 4 + 3 * 16


def test_the_report_says_that_it_is_a_bound():
    report = simulate(mlp(), board(power_load_w=2))
    assert report.calibrated is False
    assert report.latency_s == report.latency_low_s == sum(n.seconds for n in report.nodes)
    assert report.latency_high_s is None
    assert report.energy_j == pytest.approx(2 * report.latency_s)
    assert simulate(mlp(), board()).energy_j is None


@pytest.mark.parametrize("wrong", [{"threads": 3}, {"threads": 0}, {"batch": 0}])
def test_counts_that_cannot_be_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        simulate(mlp(), board(), **wrong)
