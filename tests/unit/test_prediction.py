"""Predicted times: what they are based on, and what is said of how far off they are."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgelearn.errors import UnknownName
from edgelearn.ir import Builder
from edgelearn.ir.ops import AddOuter, Conv2d, Dequantize, Quantize
from edgelearn.ir.ops_quant import QuantParams
from firmware_sim.calibration import Fit, choose, core, read_fits, read_pools, require_runtime
from firmware_sim.costs import AMOUNTS, amounts
from firmware_sim.devices import device_ids, read_device
from firmware_sim.prediction import predict
from firmware_sim.report import simulate
from firmware_sim.workload import kernels
from reference_networks import network

SQUEEZENET = network("squeezenet")[1]
MEASURED = [device for device in device_ids() if read_fits(device)]


@pytest.mark.parametrize("device", MEASURED)
def test_every_fit_prices_every_amount(device):
    for fit in read_fits(device):
        assert set(fit.prices) == set(AMOUNTS)
        assert 0 < fit.spread < 2
        assert fit.threads <= read_device(device).cores.value
        assert fit.source.startswith("github:")


def test_every_pool_prices_every_amount():
    pools = read_pools()
    assert all(set(pool.prices) == set(AMOUNTS) for pool in pools)
    assert all(pool.runtime == "any" or len(pool.devices) >= 3 for pool in pools)


def test_the_time_is_amounts_times_prices():
    found = predict(SQUEEZENET, read_device("rpi-4b"), runtime="ncnn")
    [fit] = [f for f in read_fits("rpi-4b") if (f.runtime, f.precision, f.threads)
             == ("ncnn", "float32", 1)]  # fmt: skip
    totals = amounts(kernels(SQUEEZENET), "float32").sum(axis=0)
    by_hand = sum(fit.prices[a] * n for a, n in zip(AMOUNTS, totals, strict=True))
    assert found.seconds == pytest.approx(by_hand)
    assert found.seconds == pytest.approx(0.07396, rel=0.25), "the published time, in the fit"
    assert found.low_s == pytest.approx(by_hand / math.exp(fit.spread))
    assert found.high_s == pytest.approx(by_hand * math.exp(fit.spread))


@pytest.mark.parametrize(
    ("device", "runtime", "threads", "basis"),
    [
        ("rpi-4b", "ncnn", 1, "calibrated"),
        ("rpi-4b", "tflite", 4, "calibrated"),
        ("rpi-4b", "ncnn", 2, "transferred"),
        ("rpi-4b", "onnxruntime", 4, "zero-shot"),
        ("jetson-nano", "tflite", 4, "zero-shot"),
        ("rpi-zero-w", "ncnn", 1, "bound"),
    ],
)
def test_what_a_prediction_is_based_on(device, runtime, threads, basis):
    report = simulate(SQUEEZENET, read_device(device), runtime=runtime, threads=threads)
    assert report.basis == basis
    assert report.calibrated is (basis == "calibrated")
    assert (report.latency_high_s is None) is (basis == "bound")
    assert report.latency_low_s <= report.latency_s
    assert sum(n.seconds for n in report.nodes) == pytest.approx(report.latency_s)


def test_a_changed_profile_is_another_device(tmp_path):
    source = Path(__file__).parents[2] / "firmware_sim" / "profiles" / "rpi-4b.toml"
    mine = tmp_path / "rpi-4b.toml"
    mine.write_text(source.read_text(encoding="utf-8").replace("1.8e9", "2.1e9"), encoding="utf-8")
    known = choose(read_device("rpi-4b"), "ncnn", "float32", 1)
    other = choose(read_device(str(mine)), "ncnn", "float32", 1)
    assert (known.basis, other.basis) == ("calibrated", "transferred")
    mine.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    assert choose(read_device(str(mine)), "ncnn", "float32", 1).basis == "calibrated"


def test_a_name_without_version_is_the_newest():
    profile = read_device("rpi-4b")
    assert choose(profile, "tflite", "float32", 4).runtime == "tflite-2.7.1"
    assert choose(profile, "tflite-2.4.1", "float32", 4).runtime == "tflite-2.4.1"


def test_more_distant_knowledge_has_wider_intervals():
    profile = read_device("rpi-4b")
    spreads = [choose(profile, r, "float32", 4).fitted.spread for r in ("ncnn", "onnxruntime")]
    assert spreads == sorted(spreads)


def test_a_run_like_no_measured_one_is_extrapolated():
    profile = read_device("rpi-4b")
    tiny = network("fc_autoencoder_ad")[1]
    for graph, batch in ((tiny, 1), (SQUEEZENET, 2)):
        found = predict(graph, profile, runtime="ncnn", batch=batch)
        assert found.basis == "extrapolated"
        assert math.isinf(found.high_s)
    b = Builder("step")
    w = b.state("w", np.broadcast_to(np.float32(0), (4096, 4096)))
    b.update(w, b.apply(AddOuter(), w, b.input("x", (1, 4096)), b.input("d", (1, 4096))))
    report = simulate(b.graph([]), profile, runtime="ncnn")
    assert report.basis == "extrapolated"
    assert report.latency_low_s == report.bound_s > 0
    assert report.latency_high_s is None


def test_energy_has_an_interval_where_power_was_measured():
    profile = read_device("rpi-4b")
    measured = simulate(SQUEEZENET, profile, runtime="tflite", threads=4)
    watts = measured.energy_j / measured.latency_s
    assert 4 < watts < 8, "published: 5.27 to 6.09 W at the wall"
    assert measured.energy_low_j < measured.energy_j < measured.energy_high_j
    assert measured.energy_high_j / measured.energy_j >= (
        measured.latency_high_s / measured.latency_s
    )
    other = simulate(SQUEEZENET, profile, runtime="ncnn")
    assert other.energy_j == pytest.approx(profile.power_load_w.value * other.latency_s)
    assert other.energy_low_j is other.energy_high_j is None


def test_of_int8_no_bound_is_known_where_nothing_was_measured():
    assert simulate(SQUEEZENET, read_device("rpi-4b"), precision="int8").basis == "calibrated"
    report = simulate(SQUEEZENET, read_device("rpi-zero-w"), precision="int8")
    assert (report.basis, report.bound_s, report.latency_high_s) == ("bound", 0, None)


def test_a_quantised_graph_is_int8_and_costs_no_conversion():
    quant = QuantParams((0.5,), (0,))
    b = Builder("q")
    w = b.apply(Dequantize(quant), b.constant("w", np.ones((3, 3, 8, 8), np.int8)))
    x = b.apply(Dequantize(quant), b.input("x", (1, 9, 9, 8), "int8"))
    y = b.unary("relu", b.apply(Conv2d(), x, w))
    graph = b.graph([b.apply(Quantize(quant), y)])
    [kernel] = kernels(graph)
    assert (kernel.kind, kernel.nodes, kernel.weights, kernel.inputs) == ("conv3x3", 2, 576, 648)
    assert simulate(graph, read_device("rpi-4b")).precision == "int8"
    assert simulate(SQUEEZENET, read_device("rpi-4b")).precision == "float32"


def test_unknown_runtimes_are_refused():
    require_runtime("ncnn")
    require_runtime("onnxruntime")
    with pytest.raises(UnknownName, match=r"tflite-2\.7\.1"):
        require_runtime("tflite-2.7")


def test_a_fit_without_source_or_with_a_price_of_nothing_is_refused():
    fit = msgspec.to_builtins(read_fits("rpi-4b")[0])
    for change in ({"source": ""}, {"prices": {"stem": 0.0}}, {"prices": {"magic": 1.0}}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**fit, **change}, Fit)


def test_cores_of_profiles_are_classes():
    assert core(read_device("jetson-agx-orin").cpu) == ("dot-product", "A78")
    assert core(read_device("stm32l4r5").cpu) == ("mcu", "Cortex-M4")
    assert core(read_device("rpi-2b").cpu) is None


def test_the_readme_quotes_the_report():
    root = Path(__file__).parents[2]
    report = (root / "firmware_sim" / "ACCURACY.md").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    rows = [
        line for line in readme.splitlines() if line.startswith("| `") and line.count("|") == 11
    ]
    assert len(rows) > 10
    assert set(rows) <= set(report.splitlines())
    held = re.search(r"contained\n([\d.]+)% .* and ([\d.]+)%", report)
    assert f"held {held[1]} % of those held out, {held[2]} % of" in readme
