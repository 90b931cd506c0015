"""Published latencies, brought to one form: device, runtime, precision, threads, network, time."""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

DEVICES = {  # as the rows call a device: as its profile is called
    "raspberry-pi-zero-w": "rpi-zero-w", "raspberry-pi-zero-2w": "rpi-zero-2w",
    "raspberry-pi-2b": "rpi-2b", "raspberry-pi-3b+": "rpi-3b+", "raspberry-pi-4b": "rpi-4b",
    "raspberry-pi-5": "rpi-5",
}  # fmt: skip
CHIPS = ("L4R5", "U575", "F746", "H7A3", "H743")
"""Parts of the names of boards of MLPerf Tiny; one row gives H7A3's board another chip."""
ALL_CORES = {"rpi-4b": 4, "jetson-agx-xavier": 8}
"""MLPerf's TFLite and ArmNN rows that leave out the threads used all cores, as those that say."""
SUSPECT = ("rk3588", "raspberry-pi-3")
"""Rows of large and of small cores, and none says which; rows that name another board's cores."""
CORES = {"STM32H747I-DISCO": "Cortex-M7", "B-U585I-IOT02A": "Cortex-M33"}
"""Of boards whose rows name no core."""
ZOO_NAMES = {  # of ST's model zoo, trained for flowers of five kinds
    "mobilenet_v1_0.25_224_fft_int8.tflite": "mobilenet-v1-0.25-224-5",
    "mobilenet_v1_0.5_224_fft_int8.tflite": "mobilenet-v1-0.5-224-5",
    "mobilenet_v2_0.35_224_fft_int8.tflite": "mobilenet-v2-0.35-224-5",
    "resnet_v1_8_32_tfs_int8.tflite": "resnet8_cifar10",
    "squeezenetv1.1_128_tfs_int8.tflite": "squeezenet-128-5",
    "squeezenetv1.1_224_tfs_int8.tflite": "squeezenet-224-5",
}  # fmt: skip
NCNN_NAMES = {
    "mobilenet": "mobilenet-v1-1.0-224", "mobilenet_v2": "mobilenet-v2-1.0-224",
    "mobilenet_v3": "mobilenet-v3-large-port", "resnet50": "resnet50-stride-first",
}  # fmt: skip

MCU_RUNTIMES = (  # in the runtime's or the device's text; a group is the version
    (r"(?:X-CUBE-AI|STM32Cube\.AI)[ -]v?(\d+\.\d+)", "cube-ai"),
    (r"\(HALE\) version (\d+\.\d+(?:\.\d+)?)", "hale"),
    (r"Plumerai Inference Engine ?([\d.]+)?", "plumerai"),
    (r"microtvm[_-]cmsis", "microtvm-cmsis-nn"),
    (r"microtvm[_-]native", "microtvm-native"),
    (r"TensorFlow Lite for Microcontrollers v([\d.]+)", "tflm"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured latency."""

    device: str
    runtime: str
    precision: str
    threads: int
    network: str
    cpu: str
    clock_hz: float
    seconds: float
    power_w: float | None
    source: str


def read_rows(folder: Path) -> list[Row]:
    """The rows of ``published_latency.csv`` that name device, CPU runtime and network.

    Repeated runs of one setting are one row, their median.
    """
    with (folder / "published_latency.csv").open(newline="") as file:
        rows = [row for line in csv.DictReader(file) for row in _row(line)]
    same: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        key = (row.device, row.runtime, row.precision, row.threads, row.network)
        same[key].append(row)
    return [_median(group) for group in same.values()]


def _median(rows: list[Row]) -> Row:
    middle = statistics.median_low(row.seconds for row in rows)
    powers = [row.power_w for row in rows if row.power_w is not None]
    power = statistics.median(powers) if powers else None
    return replace(next(row for row in rows if row.seconds == middle), power_w=power)


def _row(line: dict[str, str]) -> Iterator[Row]:
    runtime = _runtime(line["runtime"], line["device"])
    device = DEVICES.get(line["device"], line["device"])
    for text in (line["soc"], line["device"].upper()):
        device = next((f"stm32{chip.lower()}" for chip in CHIPS if chip in text), device)
    threads = line["threads"] or ALL_CORES.get(device, "")
    suspect = "suspect" in line["note"].lower()
    mixed = device in SUSPECT
    little = " + 4x" in line["soc"] and "powersave=2" not in line["note"]
    if (
        suspect
        or mixed
        or little
        or runtime is None
        or line["precision"] not in ("fp32", "int8")
        or not str(threads).isdigit()
    ):
        return
    yield Row(
        device=device,
        runtime=runtime,
        precision="float32" if line["precision"] == "fp32" else "int8",
        threads=int(threads),
        network=_network(line["model"], runtime),
        cpu=_cpu(line["soc"]),
        clock_hz=float(line["cpu_clock"] or 0) * 1e6,
        seconds=float(line["latency_ms"]) / 1e3,
        power_w=float(line["energy_mj"]) / float(line["latency_ms"]) if line["energy_mj"] else None,
        source=line["source"].split(" ")[0].split("@")[0],
    )


def _runtime(text: str, device: str) -> str | None:
    """Name and version; None for what runs elsewhere than on the cores, or slowed down."""
    if text == "ncnn-cpu":
        return "ncnn"
    if parts := re.fullmatch(r"(TFLite|ArmNN) v([\d.]+)\S* .*CPU \[(.*)\]", text):
        slow = re.search(r"power\.[1-9]|fan\.off", parts[3])
        return None if slow else f"{parts[1].lower()}-{parts[2]}"
    for pattern, name in MCU_RUNTIMES:
        if parts := re.search(pattern, f"{text} {device}", re.IGNORECASE):
            version = f"-{parts[1]}" if parts.groups() and parts[1] else ""
            return name + version
    return None


def _cpu(text: str) -> str:
    """The cores; of two clusters the first, which is the larger."""
    return re.sub("[®™]", "", CORES.get(text, text)).split(" + ")[0]


def _network(model: str, runtime: str) -> str:
    if runtime == "ncnn":
        return NCNN_NAMES.get(model, model)
    if model in ZOO_NAMES:
        return ZOO_NAMES[model]
    name = re.sub(r"-?(non-)?quantized-?", "", model)
    name = re.sub(r"_(float|uint8)$", "", name)
    return "mobilenet-v1-1.0-224" if name == "mobilenet" else name
