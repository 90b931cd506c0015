"""How well a network does, as it is told: of a classifier, and of a regression."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class LayerReport(msgspec.Struct, frozen=True):
    """One layer: `accuracy` is that of its own readout, None where it has none."""

    name: str
    kind: str
    params: int
    accuracy: float | None


class Evaluation(msgspec.Struct, frozen=True):
    """How well a network does: `confusion[true][predicted]` counts samples."""

    accuracy: float
    loss: float
    samples: int
    confusion: list[list[int]]
    layers: list[LayerReport]

    @property
    def mark(self) -> float:
        """The one number by which networks are compared: more is better."""
        return self.accuracy

    @property
    def marks(self) -> dict[str, float | None]:
        """All such numbers, by name."""
        return {"accuracy": self.accuracy}


class FitReport(msgspec.Struct, frozen=True):
    """One layer of a regression: `r2` is that of its own readout, None where it has none."""

    name: str
    kind: str
    params: int
    r2: float | None


class OutputReport(msgspec.Struct, frozen=True):
    """One output: errors in its units; `r2` is None if its values in the data do not differ."""

    name: str
    rmse: float
    mae: float
    r2: float | None


class Fit(msgspec.Struct, frozen=True):
    """How well a regression does; `rmse`, `mae` and `r2` are means over outputs."""

    rmse: float
    mae: float
    r2: float | None
    loss: float
    samples: int
    outputs: list[OutputReport]
    layers: list[FitReport]

    @property
    def mark(self) -> float | None:
        """The one number by which networks are compared: more is better."""
        return self.r2

    @property
    def marks(self) -> dict[str, float | None]:
        """All such numbers, by name."""
        return {"rmse": self.rmse, "mae": self.mae, "r2": self.r2}


Result: TypeAlias = Evaluation | Fit
