"""Products with the weights that are kept, in C; `edgelearn.ir.structure` says how they lie."""

from __future__ import annotations

from edgelearn.export.c_text import helper

_MATMUL = """
/* out (n, units) = x (n, fan_in) times the blocks of weights that are kept, unit by unit.
   Two sums, so that a long one loses less. */
static void sparse_matmul_@(const float *x, const float *values, const int32_t *starts,
                            const @_t *index, float *out, int n, int fan_in, int units, int block)
{
    int i, j, k;
    int32_t s;
    for (i = 0; i < n; i++, x += fan_in, out += units) {
        for (j = 0; j < units; j++) {
            float sum[2] = {0.0f, 0.0f};
            for (s = starts[j]; s < starts[j + 1]; s++) {
                const int first = (int)index[s] * block;
                for (k = 0; k < block && first + k < fan_in; k++)
                    sum[s & 1] += x[first + k] * values[s * block + k];
            }
            out[j] = sum[0] + sum[1];
        }
    }
}
"""

_ADD_OUTER = """
/* values += x (n, fan_in) transposed times d (n, units), where weights are kept. */
static void sparse_add_outer_@(float *values, const float *x, const float *d, const int32_t *starts,
                               const @_t *index, int n, int fan_in, int units, int block)
{
    int i, j, k;
    int32_t s;
    for (j = 0; j < units; j++) {
        for (s = starts[j]; s < starts[j + 1]; s++) {
            const int first = (int)index[s] * block;
            for (k = 0; k < block && first + k < fan_in; k++) {
                float sum = 0.0f;
                for (i = 0; i < n; i++)
                    sum += x[i * fan_in + first + k] * d[i * units + j];
                values[s * block + k] += sum;
            }
        }
    }
}
"""

MATMUL = {dtype: helper(_MATMUL.replace("@", dtype)) for dtype in ("uint8", "uint16")}
ADD_OUTER = {dtype: helper(_ADD_OUTER.replace("@", dtype)) for dtype in ("uint8", "uint16")}
