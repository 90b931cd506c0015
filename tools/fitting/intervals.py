"""How wide an interval must be to hold 9 of 10 held-out measurements; and whether it does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from edgelearn.arrays import Array
from fitting.evaluation import Residual
from fitting.settings import Setting

COVERAGE = 0.9
SHARED_ROWS = 4
"""As many rows' worth of a setting's typical error are taken from its pool."""


def spreads(residuals: Sequence[Residual]) -> dict[str, float]:
    """Half the width of the interval of each setting, in logarithms.

    A setting has its own scale of errors, drawn to that of its pool; how far the tenth largest
    error lies beyond the typical one is a matter of the pool, because it takes many rows.
    """
    errors: defaultdict[Setting, list[float]] = defaultdict(list)
    pools: defaultdict[object, list[Setting]] = defaultdict(list)
    for residual in residuals:
        if residual.setting not in errors:
            pools[residual.setting.pool].append(residual.setting)
        errors[residual.setting].append(abs(residual.log))
    found = {}
    for members in pools.values():
        common = float(np.median([e for s in members for e in errors[s]]))
        scales = {s: _drawn(errors[s], common) for s in members}
        relative = np.concatenate([np.array(errors[s]) / scales[s] for s in members])
        tail = upper(relative, len({row.network for s in members for row in s.rows}))
        found.update({s.name: tail * scales[s] for s in members})
    return found


def _drawn(errors: list[float], common: float) -> float:
    own = float(np.median(errors))
    return (len(errors) * own + SHARED_ROWS * common) / (len(errors) + SHARED_ROWS)


def upper(errors: Array, independent: int | None = None) -> float:
    """What 9 of 10 do not exceed; one more is counted for the one to come.

    Rows of one network, or of one device, err together: `independent` says how many there are.
    """
    share = min(1.0, COVERAGE * (1 + 1 / (independent or len(errors))))
    return float(np.quantile(errors, share))


def covered(
    residuals: Sequence[Residual], basis: Sequence[Residual]
) -> list[tuple[Residual, bool]]:
    """Whether the interval holds each row, if no row of its network had a part in its width."""
    found = []
    for held in sorted({r.row.network for r in residuals}):
        widths = spreads([r for r in basis if r.row.network != held])
        found += [
            (r, abs(r.log) <= widths[r.setting.name])
            for r in residuals
            if r.row.network == held and r.setting.name in widths
        ]
    return found
