"""Chance in C: the numbers of `edgelearn.rng.drawn`, which follow from a key and the step."""

from __future__ import annotations

import numpy as np

from edgelearn.export.c_emitter import Emitter
from edgelearn.export.c_moves import WHOLE
from edgelearn.export.c_text import helper
from edgelearn.ir.ops_chance import ALL, Keep

KEEP = helper(
    """
/* Elements times `scale`, or 0, by chance; as they are in step 0. */
static void keep(const float *a, const void *step, float *out, int count, uint32_t share,
                 uint32_t low, uint32_t high, float scale)
{
    const uint64_t at = (uint64_t)whole(step, 0, 8), wrap = 0x7FFFFFFFu;
    int i;
    for (i = 0; i < count; i++) {
        const uint64_t y = (low + at * 0x3504F333u + (uint64_t)i * 0x5E3779B9u) & wrap;
        const uint64_t z = y + ((high + at * 0x5A827999u) & wrap);
        uint64_t x = ((y * y + y) >> 12) & wrap;
        x = ((x * x + z) >> 12) & wrap;
        x = ((x * x + y) >> 12) & 0xFFFFFFu;
        out[i] = at == 0 ? a[i] : x < share ? a[i] * scale : 0.0f;
    }
}
""",
    WHOLE,
)


def keep(e: Emitter, op: Keep, source: str, step: str, out: str, count: int) -> None:
    """`Keep` of `count` elements."""
    low, high = op.key % (1 << 31), op.key >> 31
    scale = np.float32(ALL) / np.float32(op.share)
    e.call(KEEP, source, step, out, count, f"{op.share}u", f"{low}u", f"{high}u", f"{scale}f")
