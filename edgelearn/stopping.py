"""Early stopping: the best parameters of a stage, and how long ago they were found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgelearn.arrays import F32


class Best:
    """Keeps a copy of the parameters that reached the best score of a stage.

    Attributes
    ----------
    score : float or None
        The best so far; more is better.
    stale : int
        Epochs since then.
    copies : dict of str to array
        The parameters of then, none before the first epoch.
    """

    def __init__(self, learned: Mapping[str, F32], patience: int | None) -> None:
        self._learned, self._patience = learned, patience
        self.score: float | None = None
        self.stale = 0
        self.copies: dict[str, F32] = {}

    def resume(self, score: float | None, stale: int, copies: Mapping[str, F32]) -> None:
        """Go on where an earlier run stopped."""
        self.score, self.stale = score, stale
        self.copies = {name: copies[name].copy() for name in self._learned if name in copies}

    def tell(self, score: float) -> None:
        """An epoch has ended with this score; without patience there is nothing to keep."""
        if self._patience is None:
            return
        if self.score is not None and score <= self.score:
            self.stale += 1
            return
        self.score, self.stale = score, 0
        for name, value in self._learned.items():
            np.copyto(self.copies.setdefault(name, np.empty_like(value)), value)

    @property
    def exhausted(self) -> bool:
        """Whether the score has not improved for as many epochs as patience lasts."""
        return self._patience is not None and self.stale >= self._patience

    def restore(self) -> None:
        """Put the best parameters back."""
        for name, copy in self.copies.items():
            np.copyto(self._learned[name], copy)
