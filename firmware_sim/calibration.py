"""Prices fitted to published measurements: by device, runtime, precision and threads.

``calibration/DEVICE.toml`` holds the fits of a device, ``calibration/_transfer.toml`` those of
devices of a class together, for a device or a runtime without measurements. Both are written by
``tools/fit_profiles.py``; ``ACCURACY.md`` says how far off they are.
"""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import unknown
from edgelearn.strict import convert, parse_toml
from firmware_sim.costs import AMOUNTS, Amount, Precision
from firmware_sim.devices import DeviceProfile, device_ids, read_device

Basis: TypeAlias = Literal["calibrated", "transferred", "zero-shot", "extrapolated", "bound"]
CpuClass: TypeAlias = Literal["in-order", "out-of-order", "carmel", "dot-product", "mcu"]
ANY_RUNTIME: Final = "any"
UNMEASURED: Final = ("edgelearn", "onnxruntime")
"""Runtimes of which no published measurement is known."""
CORES: Final[dict[CpuClass, tuple[str, ...]]] = {
    "dot-product": ("A76", "A78"),
    "carmel": ("Carmel",),
    "out-of-order": ("A57", "A72"),
    "in-order": ("A53",),
    "mcu": ("Cortex-M4", "Cortex-M33", "Cortex-M7"),
}
"""Cores that were measured, by what their vector units can do and how they issue."""

Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0, lt=1e12)]


class Fit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of one runtime on one device.

    Attributes
    ----------
    runtime, precision, threads
        What was measured: ``tflite-2.7.1``, ``float32``, 4.
    rows : int
        Networks it was fitted to.
    spread : float
        Natural logarithm of how far off 9 of 10 networks are at most that were held out.
    least_macs, most_macs : int
        Of the smallest and the largest of these networks.
    source : str
        Where the measurements stand.
    power_w, power_spread : float, optional
        Of the whole device while it ran them, and as `spread` how far 9 of 10 are from it.
    prices : dict
        Seconds of a unit of each of `AMOUNTS`.
    """

    runtime: str
    precision: Precision
    threads: Annotated[int, msgspec.Meta(ge=1)]
    rows: Annotated[int, msgspec.Meta(ge=1)]
    spread: Positive
    least_macs: int
    most_macs: int
    source: Annotated[str, msgspec.Meta(min_length=1)]
    prices: dict[Amount, Positive]
    power_w: Positive | None = None
    power_spread: float = 0.0


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of a runtime on a class of cores, in `rates` of a device and not in seconds.

    `runtime` is a name without version, or ``any``; `many` says whether several threads worked.
    `spread` is that of devices (or, for ``any``, of runtimes) that were held out.
    """

    runtime: str
    cpu_class: CpuClass
    precision: Precision
    many: bool
    devices: list[str]
    rows: int
    spread: Positive
    least_macs: int
    most_macs: int
    prices: dict[Amount, Positive]


class _Fits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fits: list[Fit]


class _Pools(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pools: list[Pool]


class Prices(msgspec.Struct, frozen=True):
    """What was chosen for a device: `seconds` for each of `AMOUNTS`, of a `Fit` or a `Pool`."""

    basis: Basis
    runtime: str
    fitted: Fit | Pool
    seconds: Array
    source: str


def core(cpu: str) -> tuple[CpuClass, str] | None:
    """The class of the cores that `cpu` names and the core; None if none of its kind was measured.

    >>> core("Cortex-A76"), core("ARM1176JZF-S")
    (('dot-product', 'A76'), None)
    """
    found = ((kind, name) for kind, names in CORES.items() for name in names if name in cpu)
    return next(found, None)


def rates(flops_per_s: float, threads: int) -> Array:
    """What prices of a pool are told in: operations of all cores, of one for a start."""
    one = flops_per_s / threads
    return np.array([one if amount == "start" else flops_per_s for amount in AMOUNTS])


def family(runtime: str) -> str:
    """The name without its version.

    >>> family("tflite-2.7.1"), family("cube-ai-7.3")
    ('tflite', 'cube-ai')
    """
    name, _, version = runtime.rpartition("-")
    return name if name and version[:1].isdigit() else runtime


def read_fits(device: str) -> list[Fit]:
    """All fits of the device with that id; none if nothing was measured on it."""
    file = resources.files("firmware_sim") / "calibration" / f"{device}.toml"
    if not file.is_file():
        return []
    where = f"calibration '{device}.toml'"
    return convert(parse_toml(file.read_bytes(), where), _Fits, where).fits


def fits_of(profile: DeviceProfile) -> list[Fit]:
    """The fits of the device of `profile`; of a changed profile none, whatever its name."""
    known = profile.id in device_ids() and profile == read_device(profile.id)
    return read_fits(profile.id) if known else []


def read_pools() -> list[Pool]:
    """What is known of classes of cores."""
    file = resources.files("firmware_sim") / "calibration" / "_transfer.toml"
    where = "calibration '_transfer.toml'"
    return convert(parse_toml(file.read_bytes(), where), _Pools, where).pools


def require_runtime(name: str) -> None:
    """Refuse a `name` that nobody has measured and that is none of ours either.

    Raises
    ------
    UnknownName
        With the known names.

    >>> require_runtime("tflite-2.7.1")
    """
    measured = {fit.runtime for device in device_ids() for fit in read_fits(device)}
    known = sorted({*measured, *map(family, measured), *UNMEASURED})
    if name not in known:
        raise unknown("runtime", name, known)


def choose(
    profile: DeviceProfile, runtime: str | None, precision: Precision, threads: int
) -> Prices | None:
    """The best that is known; None if nothing was measured on such cores.

    Without a `runtime` the one with most measurements on the device, else any. A name without
    version is its newest. A profile of the user's own that bears a known name is another device.

    >>> from firmware_sim.devices import read_device
    >>> choose(read_device("rpi-4b"), "ncnn", "float32", 1).basis
    'calibrated'
    """
    measured = [
        fit
        for fit in fits_of(profile)
        if (fit.precision, fit.threads) == (precision, threads)
        and (runtime is None or runtime in (fit.runtime, family(fit.runtime)))
    ]
    if measured:
        fit = max(measured, key=lambda f: (f.rows, _version(f.runtime)))
        return Prices("calibrated", fit.runtime, fit, _array(fit.prices), fit.source)
    return _transfer(profile, runtime, precision, threads)


def _transfer(
    profile: DeviceProfile, runtime: str | None, precision: Precision, threads: int
) -> Prices | None:
    measured = core(profile.cpu)
    wanted = ANY_RUNTIME if runtime is None else family(runtime)
    fitting = [
        pool
        for pool in read_pools()
        if measured
        and (pool.cpu_class, pool.precision, pool.many) == (measured[0], precision, threads > 1)
        and pool.runtime in (wanted, ANY_RUNTIME)
    ]
    if not fitting:
        return None
    pool = min(fitting, key=lambda p: p.runtime == ANY_RUNTIME)
    known = pool.runtime != ANY_RUNTIME
    return Prices(
        basis="transferred" if known else "zero-shot",
        runtime=pool.runtime if known else runtime or ANY_RUNTIME,
        fitted=pool,
        seconds=_array(pool.prices) / rates(profile.peak_flops(threads), threads),
        source=f"measurements of {', '.join(pool.devices)}",
    )


def _version(runtime: str) -> tuple[int, ...]:
    _, _, version = runtime.rpartition("-")
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _array(prices: dict[Amount, float]) -> Array:
    return np.array([prices[amount] for amount in AMOUNTS])
