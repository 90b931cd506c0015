"""Log-mel energies: the same as the definitions say, done slowly."""

from __future__ import annotations

import io
import math
import wave

import numpy as np
import pytest

from edgelearn.datasets._audio import LogMel, hz_of_mel, mel_of_hz, read_wav
from edgelearn.errors import DataFileError

RATE_HZ = 8000
FEATURES = LogMel(RATE_HZ, window=256, hop=128, bands=20)
SOUND = np.random.default_rng(0).uniform(-0.5, 0.5, 1000).astype(np.float32)


def tone(hz: float, amplitude: float = 1.0, count: int = 1024) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(count) / RATE_HZ)).astype(np.float32)


def test_power_is_the_direct_transform_of_a_frame_under_its_window():
    start, size = 2 * FEATURES.hop, FEATURES.window
    frame = SOUND[start : start + size].astype(float)
    hann = np.array([math.sin(math.pi * i / size) ** 2 for i in range(size)])
    steps = np.arange(size)
    for k in (0, 1, 17, 128):
        turning = np.exp(-2j * np.pi * k * steps / size)
        expected = abs((frame * hann * turning).sum() / hann.sum()) ** 2
        assert FEATURES.power(SOUND)[2, k] == pytest.approx(expected, rel=1e-9)


def test_features_are_the_sums_of_triangles():
    edges = [hz_of_mel(m) for m in np.linspace(0, mel_of_hz(4000.0), 22)]
    power = FEATURES.power(SOUND)[3]
    for band in (0, 7, 19):
        low, centre, high = edges[band : band + 3]
        energy = 0.0
        for k, value in enumerate(power):
            hz = k * RATE_HZ / 256
            if low < hz <= centre:
                energy += value * (hz - low) / (centre - low)
            elif centre < hz < high:
                energy += value * (high - hz) / (high - centre)
        assert FEATURES(SOUND)[3, band] == pytest.approx(math.log(1 + energy / 1e-8), rel=1e-5)


@pytest.mark.parametrize(("rate_hz", "window", "bands"), [(8000, 256, 20), (16000, 512, 40)])
def test_filters_cover_every_frequency_once(rate_hz, window, bands):
    filters = LogMel(rate_hz, window, window // 2, bands).filters()
    assert filters.shape == (window // 2 + 1, bands)
    assert 0 <= filters.min() <= filters.max() <= 1
    assert (filters.sum(axis=0) > 0).all()
    edges = hz_of_mel(np.linspace(0, mel_of_hz(rate_hz / 2), bands + 2))
    hz = np.fft.rfftfreq(window, 1 / rate_hz)
    inside = (hz >= edges[1]) & (hz <= edges[-2])
    np.testing.assert_allclose(filters[inside].sum(axis=1), 1, atol=1e-9)
    assert (np.diff(filters.argmax(axis=0)) >= 0).all()


def test_the_mel_scale_is_the_usual_one():
    assert mel_of_hz(0.0) == 0
    assert mel_of_hz(1000.0) == pytest.approx(1000, abs=0.1)
    np.testing.assert_allclose(
        hz_of_mel(mel_of_hz(np.arange(0.0, 4000, 50))), np.arange(0, 4000, 50)
    )


@pytest.mark.parametrize("hz", [250.0, 1000.0, 3000.0])
def test_a_tone_is_loudest_in_its_own_band(hz):
    loudest = FEATURES(tone(hz)).mean(axis=0).argmax()
    edges = hz_of_mel(np.linspace(0, mel_of_hz(4000.0), 22))
    assert edges[loudest] < hz < edges[loudest + 2]


def test_silence_is_zero_and_louder_is_more():
    assert not FEATURES(np.zeros(500, np.float32)).any()
    quiet, loud = FEATURES(tone(500, 0.01)).sum(), FEATURES(tone(500, 0.1)).sum()
    assert 0 < quiet < loud


@pytest.mark.parametrize(
    ("count", "frames"), [(1, 1), (255, 1), (256, 1), (383, 1), (384, 2), (1000, 6)]
)
def test_frames_are_whole_and_at_least_one(count, frames):
    found = FEATURES(SOUND[:count])
    assert found.shape == (frames, 20)
    assert found.dtype == np.float32


def wav(frames: bytes, bits: int = 16, channels: int = 1, rate_hz: int = RATE_HZ) -> bytes:
    packed = io.BytesIO()
    with wave.open(packed, "wb") as file:
        file.setparams((channels, bits // 8, rate_hz, 0, "NONE", ""))
        file.writeframes(frames)
    return packed.getvalue()


def test_wav():
    values = np.array([0, 16384, -32768, 32767], "<i2")
    assert read_wav(wav(values.tobytes()), RATE_HZ, "w").tolist() == [0, 0.5, -1, 32767 / 32768]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "part of one"),
        (b"hello, I am no sound", "RIFF"),
        (wav(bytes(8))[:30], "part of one|data chunk"),
        (wav(bytes(8), bits=8), "8 bits"),
        (wav(bytes(8), channels=2), "2 channels"),
        (wav(bytes(8), rate_hz=16000), "16000 Hz"),
        (wav(b""), "0 bytes"),
    ],
)
def test_wav_of_another_form(content, words):
    with pytest.raises(DataFileError, match=words):
        read_wav(content, RATE_HZ, "w")
