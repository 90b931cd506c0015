"""Device profiles: every one found is whole, every number in it has a source."""

from __future__ import annotations

import math

import pytest

from edgelearn.errors import ConfigError, MissingFile, UnknownName
from firmware_sim.devices import device_ids, parse_profile, read_device

NEEDED = {
    "rpi-zero-2w",
    "rpi-3b+",
    "rpi-4b",
    "rpi-5",
    "jetson-nano",
    "jetson-orin-nano",
    "stm32l4r5",
    "stm32h743",
    "nrf52840",
    "rp2350",
}


def fact(value, source='"a data sheet"', confidence='"high"'):
    return f"{{ value = {value}, source = {source}, confidence = {confidence} }}"


def profile_text(**changes):
    lines = {
        "name": '"Test board"',
        "kind": '"linux"',
        "cpu": '"Test core"',
        "cores": fact(2),
        "clock_hz": fact("1e9"),
        "flops_per_cycle": fact(2),
        "ram_bytes": fact(1024),
        **changes,
    }
    return "\n".join(f"{key} = {text}" for key, text in lines.items() if text).encode()


def refusal(**changes):
    with pytest.raises(ConfigError) as caught:
        parse_profile(profile_text(**changes), "board", "device profile 'board.toml'")
    return str(caught.value)


def test_the_devices_that_were_promised_have_a_profile():
    assert set(device_ids()) >= NEEDED


@pytest.mark.parametrize("device", device_ids())
def test_every_number_has_a_source(device):
    profile = read_device(device)
    assert profile.id == device
    assert {"cores", "clock_hz", "flops_per_cycle", "ram_bytes"} <= set(profile.facts())
    for key, found in profile.facts().items():
        assert len(found.source.split()) >= 2, key
        assert math.isfinite(found.value), key


@pytest.mark.parametrize("device", device_ids())
def test_numbers_are_in_si_units(device):
    """A clock in MHz or a memory in KiB would be caught here."""
    profile = read_device(device)
    assert 16e6 <= profile.clock_hz.value <= 5e9
    assert 64 * 1024 <= profile.ram_bytes.value <= 2**37
    assert profile.cores.value == int(profile.cores.value)
    assert (profile.flash_bytes is not None) == (profile.kind == "mcu")


def test_peaks_of_a_board_by_hand():
    profile = read_device("rpi-4b")
    assert profile.peak_flops(1) == 1.8e9 * 8
    assert profile.peak_flops(4) == 1.8e9 * 8 * 4
    assert profile.bandwidth(1) == 5.56e9
    assert profile.bandwidth(4) == 12.8e9, "four cores share one memory bus"


def test_an_unknown_device_names_the_closest():
    with pytest.raises(UnknownName, match="write 'rpi-4b'"):
        read_device("rpi4b")


def test_a_board_of_the_user(tmp_path):
    path = tmp_path / "my-board.toml"
    path.write_bytes(profile_text())
    assert read_device(str(path)).id == "my-board"
    with pytest.raises(MissingFile, match="other"):
        read_device(str(tmp_path / "other.toml"))


def test_a_misspelt_key_names_the_closest():
    message = refusal(clock_mhz=fact(1000))
    assert "board.toml" in message
    assert "did you mean 'clock_hz'?" in message


def test_a_missing_key_is_named():
    assert "the key 'clock_hz'" in refusal(clock_hz="")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (fact(1, source='""'), "cores.source"),
        (fact(1, confidence='"certain"'), "cores.confidence"),
        (fact('"two"'), "cores.value"),
        (fact(-1), "cores.value"),
        (fact("inf"), "cores.value"),
        (fact("nan"), "cores.value"),
        ("{ value = 1 }", "the key 'source'"),
        ("2", "cores"),
    ],
)
def test_a_bad_fact_is_refused(text, place):
    assert place in refusal(cores=text)


def test_a_microcontroller_needs_flash():
    assert "flash_bytes" in refusal(kind='"mcu"')


def test_the_file_name_is_the_id():
    assert "file name" in refusal(id='"other"')


def test_what_is_not_toml_is_refused():
    with pytest.raises(ConfigError, match="a TOML file"):
        parse_profile(b"cores = = 4", "board", "board.toml")
    with pytest.raises(ConfigError, match="a TOML file"):
        parse_profile(b"\xff\xfe", "board", "board.toml")
