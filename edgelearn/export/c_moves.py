"""Moving and converting elements in C."""

from __future__ import annotations

from edgelearn.export.c_text import helper

WHOLE = helper("""
/* Whole number `i` of a row of them, each `bytes` long. They lie between floats, which C allows
   to be read as other types by memcpy only. */
static int64_t whole(const void *from, int i, int bytes)
{
    int64_t wide;
    int32_t narrow;
    if (bytes == 8) {
        memcpy(&wide, (const char *)from + (size_t)i * 8u, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const char *)from + (size_t)i * 4u, sizeof narrow);
    return narrow;
}
""")

ONE_HOT = helper(
    """
static void one_hot(const void *labels, int bytes, float *out, int count, int depth)
{
    int i, j;
    for (i = 0; i < count; i++)
        for (j = 0; j < depth; j++)
            *out++ = whole(labels, i, bytes) == j ? 1.0f : 0.0f;
}
""",
    WHOLE,
)

GATHER = helper(
    """
/* Rows of a table; one that is not there is read as row 0, never beside the table. */
static void gather(const void *table, const void *indices, int bytes, void *out, int count,
                   int rows, int row_bytes)
{
    int i;
    for (i = 0; i < count; i++) {
        int64_t index = whole(indices, i, bytes);
        index += index < 0 ? rows : 0;
        if (index < 0 || index >= rows)
            index = 0;
        memcpy((char *)out + (size_t)i * (size_t)row_bytes,
               (const char *)table + (size_t)index * (size_t)row_bytes, (size_t)row_bytes);
    }
}
""",
    WHOLE,
)

TO_INT = helper("""
static void to_int(const float *a, void *out, int count)
{
    int i;
    for (i = 0; i < count; i++) {
        int64_t value = INT64_MIN;
        if (a[i] > -9.2e18f && a[i] < 9.2e18f)
            value = (int64_t)a[i];
        memcpy((char *)out + (size_t)i * sizeof value, &value, sizeof value);
    }
}
""")

APPLY_MASK = helper("""
static void apply_mask(const float *a, const void *mask, float *out, int count)
{
    const unsigned char *kept = (const unsigned char *)mask;
    int i;
    for (i = 0; i < count; i++)
        out[i] = kept[i] ? a[i] : 0.0f;
}
""")

COPY_BLOCKS = helper("""
/* `count` blocks of bytes that lie at even distances. */
static void copy_blocks(const void *from, int from_step, void *to, int to_step, int bytes,
                        int count)
{
    int i;
    for (i = 0; i < count; i++)
        memcpy((char *)to + (size_t)i * (size_t)to_step,
               (const char *)from + (size_t)i * (size_t)from_step, (size_t)bytes);
}
""")
