"""Functions of one number in C, made of float32 arithmetic alone.

No library is called, so the same bits come out wherever float32 follows IEEE 754 and products and
sums are not contracted. Each is a series whose first term left out is below half a unit in the
last place; `tests/unit/test_c_math.py` compares them with NumPy over all of their range.
"""

from __future__ import annotations

from edgelearn.export.c_text import helper

FROM_BITS = helper("""
static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
""")

TO_BITS = helper("""
static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
""")

EXP = helper(
    """
/* e^x: x = k ln 2 + r with |r| <= ln 2 / 2, the series of e^r, then two halves of the power 2^k,
   so that results below the least normal number come out too. */
static float exp_of(float x)
{
    float k, r, y;
    int n, half;
    if (x != x)
        return x;
    if (x > 88.8f)
        return from_bits(0x7f800000u);
    if (x < -104.0f)
        return 0.0f;
    k = x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f);
    n = (int)k;
    k = (float)n;
    r = (x - k * 0.693145752f) - k * 1.42860677e-6f;
    y = 1.0f / 5040.0f;
    y = y * r + 1.0f / 720.0f;
    y = y * r + 1.0f / 120.0f;
    y = y * r + 1.0f / 24.0f;
    y = y * r + 1.0f / 6.0f;
    y = y * r + 0.5f;
    y = (y * r * r + r) + 1.0f;
    half = n / 2;
    y *= from_bits((uint32_t)(half + 127) << 23);
    return y * from_bits((uint32_t)(n - half + 127) << 23);
}
""",
    FROM_BITS,
)

LOG = helper(
    """
/* ln x: x = 2^e m with m near 1, and ln m = 2 artanh((m - 1) / (m + 1)) by its series. */
static float log_of(float x)
{
    uint32_t bits;
    int e = 0;
    float m, s, z, y;
    if (x != x || x < 0.0f)
        return from_bits(0x7fc00000u);
    if (x == 0.0f)
        return -from_bits(0x7f800000u);
    if (x > 3.40282347e38f)
        return x;
    if (x < 1.17549435e-38f) {
        x *= 8388608.0f;
        e = -23;
    }
    bits = to_bits(x);
    e += (int)(bits >> 23) - 127;
    m = from_bits((bits & 0x007fffffu) | 0x3f800000u);
    if (m > 1.41421356f) {
        m *= 0.5f;
        e += 1;
    }
    s = (m - 1.0f) / (m + 1.0f);
    z = s * s;
    y = 2.0f / 9.0f;
    y = y * z + 2.0f / 7.0f;
    y = y * z + 2.0f / 5.0f;
    y = y * z + 2.0f / 3.0f;
    y = y * z * s + 2.0f * s;
    return (float)e * 0.693145752f + ((float)e * 1.42860677e-6f + y);
}
""",
    FROM_BITS,
    TO_BITS,
)

TANH = helper(
    """
/* tanh x: Lambert's continued fraction near 0, 1 - 2 / (e^2x + 1) elsewhere. */
static float tanh_of(float x)
{
    float size = x < 0.0f ? -x : x;
    float z, y;
    if (size < 0.8f) {
        z = x * x;
        y = ((z + 378.0f) * z + 17325.0f) * z + 135135.0f;
        return x * y / (((28.0f * z + 3150.0f) * z + 62370.0f) * z + 135135.0f);
    }
    y = size > 10.0f ? 1.0f : 1.0f - 2.0f / (exp_of(2.0f * size) + 1.0f);
    if (x != x)
        return x;
    return x < 0.0f ? -y : y;
}
""",
    EXP,
)

SIGMOID = helper(
    """
static float sigmoid_of(float x)
{
    float small = exp_of(x < 0.0f ? x : -x);
    return x >= 0.0f ? 1.0f / (1.0f + small) : small / (1.0f + small);
}
""",
    EXP,
)

SOFTMAX = helper(
    """
static void softmax(const float *a, float *out, int rows, int width)
{
    int i, j;
    for (i = 0; i < rows; i++) {
        const float *from = a + i * width;
        float *to = out + i * width;
        float most = from[0], total = 0.0f;
        for (j = 1; j < width; j++)
            if (from[j] > most || from[j] != from[j])
                most = from[j];
        for (j = 0; j < width; j++) {
            to[j] = exp_of(from[j] - most);
            total += to[j];
        }
        for (j = 0; j < width; j++)
            to[j] /= total;
    }
}
""",
    EXP,
)
