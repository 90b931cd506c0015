"""Sound as features: log-mel energies, in NumPy alone."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32, Array, as_f32
from edgelearn.errors import DataFileError

F64 = NDArray[np.float64]


def read_wav(content: bytes, rate_hz: int, where: str) -> F32:
    """The samples of a WAV file of 16 bits, one channel and `rate_hz`, from -1 to 1."""
    expected = f"a WAV file of 16 bits, one channel, {rate_hz} Hz"
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (8 * file.getsampwidth(), file.getnchannels(), file.getframerate())
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise _damaged(where, expected, str(error) or "part of one") from None
    if form != (16, 1, rate_hz):
        raise _damaged(where, expected, "{} bits, {} channels, {} Hz".format(*form))
    if not frames or len(frames) % 2:
        raise _damaged(where, expected, f"{len(frames)} bytes of sound")
    return as_f32(np.frombuffer(frames, "<i2") / 32768)


def _damaged(where: str, expected: str, got: str) -> DataFileError:
    return DataFileError(where, expected=expected, got=got, fix="fetch the file again")


def mel_of_hz(hz: Array | float) -> Array:
    """Pitch in mel: 2595 log10(1 + f / 700)."""
    return np.asarray(2595 * np.log10(1 + np.asarray(hz, np.float64) / 700))


def hz_of_mel(mel: Array | float) -> Array:
    """The inverse of `mel_of_hz`.

    >>> float(np.round(hz_of_mel(mel_of_hz(440.0)), 6))
    440.0
    """
    return np.asarray(700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1))


@dataclass(frozen=True, slots=True)
class LogMel:
    """``log(1 + energy / floor)`` in `bands` triangles, evenly apart in mel, from 0 to rate / 2.

    A frame is `window` samples under a Hann window, `hop` samples after the one before. Energies
    are in units of full scale squared, so that silence is 0, as padding is; `floor` is where
    "silence" begins.
    """

    rate_hz: int
    window: int
    hop: int
    bands: int
    floor: float = 1e-8

    def filters(self) -> F64:
        """Weights of each bin in each band, shape (window // 2 + 1, bands); peaks are 1."""
        edges = hz_of_mel(np.linspace(0, mel_of_hz(self.rate_hz / 2), self.bands + 2))
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        hz = np.fft.rfftfreq(self.window, 1 / self.rate_hz)[:, None]
        rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
        return np.asarray(np.maximum(0, np.minimum(rising, falling)))

    def power(self, samples: F32) -> F64:
        """Spectrum of every whole frame, shape (frames, window // 2 + 1); one frame at least."""
        padded = np.pad(samples, (0, max(0, self.window - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        spectrum = np.fft.rfft(frames * hann) / hann.sum()
        return np.asarray(spectrum.real**2 + spectrum.imag**2)

    def __call__(self, samples: F32) -> F32:
        """Features of a sound, shape (frames, bands)."""
        return as_f32(np.log1p(self.power(samples) @ self.filters() / self.floor))
