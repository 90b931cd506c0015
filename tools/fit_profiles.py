"""Fit the simulator's prices to published latencies, and report how far off they are.

    python tools/fit_profiles.py MEASUREMENTS

MEASUREMENTS is a folder with ``published_latency.csv``. Written are the files in
``firmware_sim/calibration/`` and ``firmware_sim/ACCURACY.md``. It takes about a minute
of processor time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edgelearn.files import write_atomic
from firmware_sim.devices import device_ids
from fitting.evaluation import baseline, by_pool, leave_out, whole_pools
from fitting.intervals import covered, spreads
from fitting.measurements import read_rows
from fitting.output import device_file, transfer_file, transfers, unknown_runtimes
from fitting.report import Findings, page
from fitting.settings import Networks, settings

ROOT = Path(__file__).resolve().parent.parent / "firmware_sim"


def main(folder: Path) -> None:
    networks = Networks()
    measured = settings(read_rows(folder), networks)
    print(f"{len(measured)} settings in {len(by_pool(measured))} pools", file=sys.stderr)
    pools = whole_pools(measured, networks)
    by_network = leave_out(measured, networks, lambda name: name)
    by_family = leave_out(measured, networks, networks.families.__getitem__)
    widths = spreads([*by_network, *by_family])
    known, by_device = transfers(measured, networks, pools)
    unknown, by_runtime = unknown_runtimes(measured, networks)
    for device in device_ids():
        own = [s for s in measured if s.device == device]
        if own:
            _write(f"calibration/{device}.toml", device_file(own, networks, pools, widths))
    _write("calibration/_transfer.toml", transfer_file([*known, *unknown]))
    basis = [*by_network, *by_family]
    found = Findings(
        settings=measured,
        networks=by_network,
        families=by_family,
        macs=baseline(measured, networks, roofline=False),
        roofline=baseline(measured, networks, roofline=True),
        devices=by_device,
        runtimes=by_runtime,
        covered_networks=covered(by_network, basis),
        covered_families=covered(by_family, basis),
        widths=widths,
    )
    _write("ACCURACY.md", page(found, set(device_ids()).__contains__))


def _write(name: str, text: str) -> None:
    path = ROOT / name
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, text.encode())
    print(path.relative_to(ROOT.parent), file=sys.stderr)


def arguments(given: Sequence[str]) -> Path:
    if len(given) != 1 or not (Path(given[0]) / "published_latency.csv").is_file():
        sys.exit("usage: fit_profiles.py FOLDER, which holds published_latency.csv")
    return Path(given[0])


if __name__ == "__main__":
    main(arguments(sys.argv[1:]))
