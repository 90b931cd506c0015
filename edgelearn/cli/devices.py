"""`edgelearn devices`: the device profiles, and where their numbers come from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from edgelearn.cli._output import emit, human_bytes, json_option, table

if TYPE_CHECKING:
    from firmware_sim.devices import DeviceProfile


@click.command(name="devices")
@click.argument("device", required=False)
@json_option
def command(device: str | None, as_json: bool) -> None:
    """List the devices that 'simulate' and 'check' know, or all that is known of DEVICE.

    \b
    Example:
      edgelearn devices
      edgelearn devices rpi-4b
    """
    import msgspec

    from firmware_sim.devices import device_ids, read_device

    profiles = [read_device(name) for name in ([device] if device else device_ids())]

    def show() -> None:
        if device:
            _show_facts(profiles[0])
        else:
            table("devices", [_row(profile) for profile in profiles])

    emit([msgspec.to_builtins(profile) for profile in profiles], as_json, show)


def _row(profile: DeviceProfile) -> dict[str, str]:
    bandwidth = profile.bandwidth(1)
    return {
        "device": profile.id,
        "name": profile.name,
        "cpu": f"{profile.cores.value:g} x {profile.cpu}",
        "GHz": f"{profile.clock_hz.value / 1e9:g}",
        "GFLOP/s a core": f"{profile.peak_flops(1) / 1e9:.3g}",
        "GB/s a core": "unknown" if bandwidth is None else f"{bandwidth / 1e9:.3g}",
        "RAM": human_bytes(profile.ram_bytes.value),
        "flash": human_bytes(profile.flash_bytes.value) if profile.flash_bytes else "-",
    }


def _show_facts(profile: DeviceProfile) -> None:
    from firmware_sim.calibration import fits_of

    click.echo(f"{profile.id}: {profile.name}, {profile.cpu}")
    if profile.note:
        click.echo(f"note: {profile.note}")
    for key, fact in profile.facts().items():
        click.echo(f"{key} = {fact.value:g} ({fact.confidence}): {fact.source}")
    for fit in fits_of(profile):
        click.echo(
            f"measured with {fit.runtime}, {fit.precision}, threads {fit.threads}: {fit.rows} "
            f"networks, within a factor of {math.exp(fit.spread):.2f}: {fit.source}"
        )
