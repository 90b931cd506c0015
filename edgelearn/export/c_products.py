"""Products of matrices and images in C: one kernel of four columns, and loops around it."""

from __future__ import annotations

from edgelearn.export.c_text import helper

PRODUCTS = helper("""
/* out[j] = sum over i of x[i * x_step] * w[i * w_step + j], added to what is there if `add`.
   Four sums at a time: each x is read once for four columns, and no sum waits for another. */
static void products(const float *x, int x_step, const float *w, int w_step, int count,
                     float *out, int width, int add)
{
    int i, j;
    for (j = 0; j + 4 <= width; j += 4) {
        float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
        for (i = 0; i < count; i++) {
            const float *row = w + i * w_step + j;
            const float f = x[i * x_step];
            a += f * row[0];
            b += f * row[1];
            c += f * row[2];
            d += f * row[3];
        }
        out[j] = add ? out[j] + a : a;
        out[j + 1] = add ? out[j + 1] + b : b;
        out[j + 2] = add ? out[j + 2] + c : c;
        out[j + 3] = add ? out[j + 3] + d : d;
    }
    for (; j < width; j++) {
        float a = 0.0f;
        for (i = 0; i < count; i++)
            a += x[i * x_step] * w[i * w_step + j];
        out[j] = add ? out[j] + a : a;
    }
}
""")

DOT = helper("""
static float dot(const float *a, int a_step, const float *b, int count)
{
    float even = 0.0f, odd = 0.0f;
    int i;
    for (i = 0; i + 2 <= count; i += 2) {
        even += a[i * a_step] * b[i];
        odd += a[(i + 1) * a_step] * b[i + 1];
    }
    if (i < count)
        even += a[i * a_step] * b[i];
    return even + odd;
}
""")

MATMUL = helper(
    """
/* out (n, m) = a (n, k) b (k, m) */
static void matmul(const float *a, const float *b, float *out, int n, int k, int m)
{
    int i;
    for (i = 0; i < n; i++)
        products(a + i * k, 1, b, m, k, out + i * m, m, 0);
}
""",
    PRODUCTS,
)

MATMUL_TN = helper(
    """
/* out (n, m) = a (k, n) transposed, times b (k, m) */
static void matmul_tn(const float *a, const float *b, float *out, int n, int k, int m)
{
    int i;
    for (i = 0; i < n; i++)
        products(a + i, n, b, m, k, out + i * m, m, 0);
}
""",
    PRODUCTS,
)

MATMUL_NT = helper(
    """
/* out (n, m) = a (n, k) times b (m, k) transposed */
static void matmul_nt(const float *a, const float *b, float *out, int n, int k, int m)
{
    int i, j;
    for (i = 0; i < n; i++)
        for (j = 0; j < m; j++)
            out[i * m + j] = dot(a + i * k, 1, b + j * k, k);
}
""",
    DOT,
)

MATMUL_TT = helper(
    """
/* out (n, m) = a (k, n) transposed, times b (m, k) transposed */
static void matmul_tt(const float *a, const float *b, float *out, int n, int k, int m)
{
    int i, j;
    for (i = 0; i < n; i++)
        for (j = 0; j < m; j++)
            out[i * m + j] = dot(a + i, n, b + j * k, k);
}
""",
    DOT,
)

ADD_OUTER = helper(
    """
/* w (k, m) += x (n, k) transposed, times d (n, m) */
static void add_outer(float *w, const float *x, const float *d, int n, int k, int m)
{
    int i, j;
    for (i = 0; i < k; i++, w += m) {
        const float f = x[i];
        if (n > 1)
            products(x + i, k, d, m, n, w, m, 1);
        else
            for (j = 0; j < m; j++)
                w[j] += f * d[j];
    }
}
""",
    PRODUCTS,
)
