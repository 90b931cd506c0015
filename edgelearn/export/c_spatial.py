"""Convolutions and pooling in C, direct: no buffer for patches."""

from __future__ import annotations

from edgelearn.export.c_emitter import C_TYPES
from edgelearn.export.c_products import DOT, PRODUCTS
from edgelearn.export.c_text import Helper, helper

WINDOW_TYPE = """\
/* An image, the windows that slide over it, and what they make. */
struct window {
    int rows, columns, channels;
    int out_rows, out_columns, out_channels;
    int kernel_rows, kernel_columns;
    int stride_rows, stride_columns;
    int pad_top, pad_left;
    int dilate_rows, dilate_columns;
    int groups;
};"""

CONV2D = helper(
    """
/* Where columns of a window lie side by side, one sum runs over all of them. */
static void conv2d(const float *x, const float *w, float *out, int images, const struct window *s)
{
    const int seen = s->channels / s->groups, made = s->out_channels / s->groups;
    const int joined = s->groups == 1 && s->dilate_columns == 1;
    int image, r, c, i, g;
    for (image = 0; image < images; image++, x += s->rows * s->columns * s->channels)
        for (r = 0; r < s->out_rows; r++)
            for (c = 0; c < s->out_columns; c++, out += s->out_channels) {
                const int column = c * s->stride_columns - s->pad_left;
                for (i = 0; i < s->out_channels; i++)
                    out[i] = 0.0f;
                for (i = 0; i < s->kernel_rows; i++) {
                    const int row = r * s->stride_rows + i * s->dilate_rows - s->pad_top;
                    int j = 0, end = s->kernel_columns, length = 1;
                    if (row < 0 || row >= s->rows)
                        continue;
                    if (joined) {
                        j = column < 0 ? -column : 0;
                        end = column + end > s->columns ? s->columns - column : end;
                        length = end - j;
                    }
                    for (; j < end; j += length) {
                        const int at = column + j * s->dilate_columns;
                        if (at < 0 || at >= s->columns)
                            continue;
                        for (g = 0; g < s->groups; g++)
                            products(x + (row * s->columns + at) * s->channels + g * seen, 1,
                                     w + (i * s->kernel_columns + j) * seen * s->out_channels
                                         + g * made,
                                     s->out_channels, length * seen, out + g * made, made, 1);
                    }
                }
            }
}
""",
    PRODUCTS,
)

CONV_TRANSPOSE2D = helper(
    """
/* Errors d back through the filters w, to where the windows looked. */
static void conv_transpose2d(const float *d, const float *w, float *out, int images,
                             const struct window *s)
{
    const int size = s->rows * s->columns * s->channels;
    const int seen = s->channels / s->groups, made = s->out_channels / s->groups;
    int image, r, c, i, j, k;
    for (image = 0; image < images; image++, out += size) {
        for (i = 0; i < size; i++)
            out[i] = 0.0f;
        for (r = 0; r < s->out_rows; r++)
            for (c = 0; c < s->out_columns; c++, d += s->out_channels)
                for (i = 0; i < s->kernel_rows; i++)
                    for (j = 0; j < s->kernel_columns; j++) {
                        const int row = r * s->stride_rows + i * s->dilate_rows - s->pad_top;
                        const int at = c * s->stride_columns + j * s->dilate_columns - s->pad_left;
                        if (row < 0 || row >= s->rows || at < 0 || at >= s->columns)
                            continue;
                        for (k = 0; k < s->channels; k++) {
                            const int g = k / seen;
                            const int place = (i * s->kernel_columns + j) * seen + k % seen;
                            out[(row * s->columns + at) * s->channels + k] +=
                                dot(d + g * made, 1, w + place * s->out_channels + g * made, made);
                        }
                    }
    }
}
""",
    DOT,
)

ADD_CONV_OUTER = helper(
    """
/* Filters w plus the correlation of images x with errors d, four filters at a time. */
static void add_conv_outer(float *w, const float *x, const float *d, int images,
                           const struct window *s)
{
    const int seen = s->channels / s->groups, made = s->out_channels / s->groups;
    int i, j, k, m, image, r, n;
    for (i = 0; i < s->kernel_rows; i++)
        for (j = 0; j < s->kernel_columns; j++) {
            const int shift = j * s->dilate_columns - s->pad_left;
            int begin = shift < 0 ? (-shift + s->stride_columns - 1) / s->stride_columns : 0;
            int end = s->columns > shift ? (s->columns - shift - 1) / s->stride_columns + 1 : 0;
            if (end > s->out_columns)
                end = s->out_columns;
            for (k = 0; k < seen; k++, w += s->out_channels)
                for (m = 0; m < s->out_channels;) {
                    const int g = m / made, left = (g + 1) * made - m, width = left < 4 ? left : 4;
                    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                    for (image = 0; image < images && begin < end; image++)
                        for (r = 0; r < s->out_rows; r++) {
                            const int row = r * s->stride_rows + i * s->dilate_rows - s->pad_top;
                            const int at = begin * s->stride_columns + shift;
                            if (row < 0 || row >= s->rows)
                                continue;
                            products(x + ((image * s->rows + row) * s->columns + at) * s->channels
                                         + g * seen + k,
                                     s->stride_columns * s->channels,
                                     d + ((image * s->out_rows + r) * s->out_columns + begin)
                                             * s->out_channels + m,
                                     s->out_channels, end - begin, sum, width, 1);
                        }
                    for (n = 0; n < width; n++)
                        w[m + n] += sum[n];
                    m += width;
                }
        }
}
""",
    PRODUCTS,
)

_POOL = """
static void {name}(const void *images, void *made, int count, const struct window *s)
{{
    const {type} *x = (const {type} *)images;
    {type} *out = ({type} *)made;
    int image, r, c, k, i, j;
    for (image = 0; image < count; image++, x += s->rows * s->columns * s->channels)
        for (r = 0; r < s->out_rows; r++)
            for (c = 0; c < s->out_columns; c++)
                for (k = 0; k < s->channels; k++) {{
                    {type} found = 0;
                    int seen = 0;
                    for (i = 0; i < s->kernel_rows; i++)
                        for (j = 0; j < s->kernel_columns; j++) {{
                            const int row = r * s->stride_rows + i - s->pad_top;
                            const int column = c * s->stride_columns + j - s->pad_left;
                            {type} a;
                            if (row < 0 || row >= s->rows || column < 0 || column >= s->columns)
                                continue;
                            a = x[(row * s->columns + column) * s->channels + k];
                            {step}
                            seen++;
                        }}
                    *out++ = {result};
                }}
}}
"""

_HIGHER = "found = seen == 0 || a > found ? a : found;"
_STEPS = {
    "max": (_HIGHER.replace("a > found", "a > found || a != a"), "found"),  # no number stays none
    "avg": ("found += a;", "found / (float)seen"),
}


def pool(kind: str, dtype: str) -> Helper:
    """The pooling of images of a dtype."""
    (step, result), of = _STEPS[kind], C_TYPES[dtype]
    step = step if dtype == "float32" else _HIGHER
    return helper(_POOL.format(name=f"{kind}_pool_{dtype}", type=of, step=step, result=result))
