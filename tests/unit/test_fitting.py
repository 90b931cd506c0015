"""The fitting program: it finds prices that are there, and tests itself honestly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgelearn.strict import parse_toml
from firmware_sim.calibration import rates
from firmware_sim.costs import AMOUNTS
from fitting.evaluation import baseline, leave_devices_out, leave_out, portable, whole_pools
from fitting.intervals import covered, spreads
from fitting.measurements import Row, read_rows
from fitting.output import device_file, transfer_file, transfers, unknown_runtimes
from fitting.regression import BOARDS, Sample, fit_one, fit_pool
from fitting.report import Findings, page
from fitting.settings import Networks, settings

PRIOR = BOARDS.prices
NAMES = (
    *("mobilenet-v1-0.25-128", "mobilenet-v1-0.5-160", "mobilenet-v2-0.35-128"),
    *("mobilenet-v2-0.75-96", "squeezenet", "shufflenet_v2", "resnet18"),
)
DEVICES = {"rpi-3b+": 44.8e9, "rpi-zero-2w": 32e9, "msm8916": 38.4e9}
TFLITE = "TFLite v2.7.1 (ruy) CPU [x]"
HEAD = (
    "device,soc,cpu_clock,threads,runtime,model,precision,input,latency_ms,ram_kb,flash_kb,"
    "energy_mj,source,note\n"
)


def rows(noise=0.0, seed=0):
    """Times on three boards of A53s that follow the model exactly, or nearly."""
    networks = Networks()
    networks.learn(set(NAMES))
    random = np.random.default_rng(seed)
    found = []
    for device, flops in DEVICES.items():
        for name in NAMES:
            whole = networks.sums[name, "float32"] / rates(flops / 4, 1) @ np.exp(PRIOR)
            seconds = float(whole * np.exp(noise * random.normal()))
            how = (device, "ncnn", "float32", 1, name, "4x Cortex-A53", 1.2e9)
            found.append(Row(*how, seconds, 2.0, "github:a/b"))
    return found, networks


def test_prices_that_are_there_are_found():
    random = np.random.default_rng(0)
    amounts = random.uniform(0.1, 1, (40, len(AMOUNTS))) / np.exp(PRIOR)
    true = PRIOR + random.normal(0, 0.5, len(AMOUNTS))
    sample = Sample(amounts, amounts @ np.exp(true))
    error = np.log(amounts @ np.exp(fit_one(sample, PRIOR, 1.5))) - np.log(sample.seconds)
    assert np.abs(error).max() < 0.02
    outlier = replace(sample, seconds=sample.seconds * np.where(np.arange(40) == 3, 5, 1))
    error = np.log(amounts @ np.exp(fit_one(outlier, PRIOR, 1.5))) - np.log(sample.seconds)
    assert np.median(np.abs(error)) < 0.04, "one wrong row does not pull the others along"


def test_a_pool_finds_scales():
    random = np.random.default_rng(1)
    amounts = random.uniform(0.1, 1, (20, len(AMOUNTS))) / np.exp(PRIOR)
    slow, fast = amounts @ np.exp(PRIOR + 1), amounts @ np.exp(PRIOR - 1)
    found = fit_pool({"a": Sample(amounts, slow), "b": Sample(amounts, fast)}, BOARDS)
    assert found.scales["a"] - found.scales["b"] == pytest.approx(2, abs=0.05)


def test_a_held_out_network_has_no_part_in_its_prediction():
    """Changed times of the network that is held out change its error by as much, and no more."""
    measured, networks = rows(noise=0.1)
    wrong = [
        replace(r, seconds=r.seconds * (3 if r.network == "squeezenet" else 1)) for r in measured
    ]

    def errors(given):
        found = settings(given, networks)
        held = leave_out(found, networks, lambda name: name)
        return {r.setting.device: r.log for r in held if r.row.network == "squeezenet"}

    honest, changed = errors(measured), errors(wrong)
    assert set(honest) == set(DEVICES)
    for device, log in honest.items():
        assert changed[device] == pytest.approx(log - np.log(3), abs=1e-9)


def test_a_held_out_device_has_no_part_in_its_prediction():
    measured, networks = rows(noise=0.1)
    wrong = [replace(r, seconds=r.seconds * (3 if r.device == "rpi-3b+" else 1)) for r in measured]
    honest, changed = (
        {(r.setting.device, r.row.network): r.log
         for r in leave_devices_out(settings(given, networks), networks)}
        for given in (measured, wrong)
    )  # fmt: skip
    for (device, name), log in honest.items():
        if device == "rpi-3b+":
            assert changed[device, name] == pytest.approx(log - np.log(3), abs=1e-9)


def test_a_transfer_scales_with_the_peak_rate():
    measured, networks = rows()
    found = settings(measured, networks)
    [pool] = whole_pools(found, networks).values()
    prices = portable(found, pool)
    sample = found[0].sample(networks)
    error = np.log(sample.amounts @ np.exp(prices)) - np.log(sample.seconds)
    assert np.abs(error).max() < 0.02


def test_intervals_cover_what_they_promise():
    measured, networks = rows(noise=0.2)
    found = settings(measured, networks)
    held = leave_out(found, networks, lambda name: name)
    widths = spreads(held)
    assert set(widths) == {s.name for s in found}
    inside = np.mean([abs(r.log) <= widths[r.setting.name] for r in held])
    assert 0.85 <= inside <= 1
    assert 0.6 <= np.mean([ok for _, ok in covered(held, held)]) <= 1


def test_the_files_and_the_page_from_synthetic_rows():
    measured, networks = rows(noise=0.1)
    found = settings(measured, networks)
    pools = whole_pools(found, networks)
    held = leave_out(found, networks, lambda name: name)
    widths = spreads(held)
    fits = parse_toml(device_file(found[:1], networks, pools, widths).encode(), "fits")["fits"]
    assert fits[0]["rows"] == len(NAMES)
    assert fits[0]["power_w"] == 2.0
    known, by_device = transfers(found, networks, pools)
    unknown, by_runtime = unknown_runtimes(found, networks)
    assert by_runtime == []
    assert unknown == [], "with one runtime nobody knows how another would do"
    [pool] = parse_toml(transfer_file(known).encode(), "pools")["pools"]
    assert set(pool["devices"]) == set(DEVICES)
    plain = baseline(found, networks, roofline=True)
    findings = Findings(found, held, held, plain, plain, by_device, by_runtime,
                        covered(held, held), covered(held, held), widths)  # fmt: skip
    text = page(findings, lambda device: device.startswith("rpi"))
    assert f"{len(measured)}\npublished" in text
    assert "| `rpi-3b+` | ncnn | float32 | 1 | 7 |" in text
    assert "msm8916` |" not in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "raspberry-pi-4b,BCM2711 (4x Cortex-A72),1800,1,ncnn-cpu,mobilenet,fp32,,10,,,,g,n",
            ("rpi-4b", "ncnn", "float32", 1, "mobilenet-v1-1.0-224"),
        ),
        (
            f"raspberry-pi-4b,A72,1500,,{TFLITE},mobilenet-v2-0.35-128-non-quantized,fp32,,10,,,,g,n",
            ("rpi-4b", "tflite-2.7.1", "float32", 4, "mobilenet-v2-0.35-128"),
        ),
        (
            "NUCLEO_L4R5ZI,M4,120,1,bosch X (HALE) version 1.0,ds_cnn_kws,int8,,10,,,,g,n",
            ("stm32l4r5", "hale-1.0", "int8", 1, "ds_cnn_kws"),
        ),
        ("a,b,1,1,ncnn-vulkan-gpu,mobilenet,fp32,,10,,,,g,n", None),
        ("a,b,1,1,ncnn-cpu,mobilenet,fp16,,10,,,,g,n", None),
        ("a,b,1,1,ncnn-cpu,mobilenet,fp32,,10,,,,g,QUALITY=suspect", None),
        ("a,b,1,,ncnn-cpu,mobilenet,fp32,,10,,,,g,n", None),
        ("a,b,1,8,TFLite v2.5.0 (ruy) CPU [x-power.2-fan],resnet50,fp32,,10,,,,g,n", None),
    ],
)
def test_reading_measurements(tmp_path, line, expected):
    (tmp_path / "published_latency.csv").write_text(HEAD + line + "\n", encoding="utf-8")
    found = [(r.device, r.runtime, r.precision, r.threads, r.network) for r in read_rows(tmp_path)]
    assert found == ([expected] if expected else [])


def test_repeated_runs_are_one_row_their_median(tmp_path):
    text = "".join(f"a,b,1,1,ncnn-cpu,vgg16,fp32,,{ms},,,{ms},g,n\n" for ms in (10, 30, 11))
    (tmp_path / "published_latency.csv").write_text(HEAD + text, encoding="utf-8")
    [row] = read_rows(tmp_path)
    assert row.seconds == 0.011
    assert row.power_w == 1
