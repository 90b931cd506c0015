"""Parameters kept over a power cut, in C: two slots, a version, a sequence number, a CRC-32.

A slot is the parameters followed by a trailer of six whole numbers. The trailer is written last, so
a slot that was cut short has none, or one of an older content: either way its CRC does not fit.
"""

from __future__ import annotations

TRAILER_BYTES = 24
VERSION = 1

HEADER = """\
/* Two slots keep the parameters over a power cut, each {upper}_SLOT_BYTES long.
   {prefix}_save writes the older slot from offset 0 upwards without gaps, its check last; the
   other stays as it is. {prefix}_load takes the newest that is whole, or leaves the parameters as
   they are and tells {upper}_NO_SLOT. `slot` is 0 or 1; both callbacks return 0 if all went well.
   Flash that must be erased is erased by `write` at offset 0. */
#define {upper}_SLOT_BYTES {slot_bytes}

typedef int (*{prefix}_write)(void *context, int slot, uint32_t offset, const void *data,
    uint32_t size);
typedef int (*{prefix}_read)(void *context, int slot, uint32_t offset, void *data, uint32_t size);

int {prefix}_save({prefix}_write write, {prefix}_read read, void *context);
int {prefix}_load({prefix}_read read, void *context);"""

SOURCE = """\
/* What stands behind the parameters in a slot. */
struct trailer {{
    uint32_t version, layout, size, sequence, data_crc, own_crc;
}};

static uint32_t crc32_of(uint32_t crc, const void *data, uint32_t size)
{{
    const unsigned char *bytes = (const unsigned char *)data;
    uint32_t i;
    int bit;
    crc = ~crc;
    for (i = 0; i < size; i++) {{
        crc ^= bytes[i];
        for (bit = 0; bit < 8; bit++)
            crc = crc & 1u ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }}
    return ~crc;
}}

/* 1 if the slot is whole and of this model. */
static int is_whole({prefix}_read read, void *context, int slot, struct trailer *t)
{{
    unsigned char part[64];
    uint32_t at, size, crc = 0u;
    if (read(context, slot, {size}u, t, (uint32_t)sizeof *t) != 0)
        return 0;
    if (t->own_crc != crc32_of(0u, t, 20u) || t->version != {version}u || t->layout != {layout}u
        || t->size != {size}u)
        return 0;
    for (at = 0u; at < {size}u; at += size) {{
        size = {size}u - at < sizeof part ? {size}u - at : (uint32_t)sizeof part;
        if (read(context, slot, at, part, size) != 0)
            return 0;
        crc = crc32_of(crc, part, size);
    }}
    return crc == t->data_crc;
}}

/* The newest slot that is whole, or -1; sequence numbers may run over. */
static int newest({prefix}_read read, void *context, struct trailer *t)
{{
    struct trailer other;
    const int first = is_whole(read, context, 0, t), second = is_whole(read, context, 1, &other);
    if (second && (!first || (int32_t)(other.sequence - t->sequence) > 0)) {{
        *t = other;
        return 1;
    }}
    return first ? 0 : -1;
}}

int {prefix}_save({prefix}_write write, {prefix}_read read, void *context)
{{
    struct trailer t;
    const int slot = newest(read, context, &t);
    t.sequence = slot < 0 ? 1u : t.sequence + 1u;
    t.version = {version}u;
    t.layout = {layout}u;
    t.size = {size}u;
    t.data_crc = crc32_of(0u, &state, {size}u);
    t.own_crc = crc32_of(0u, &t, 20u);
    if (write(context, slot == 0, 0u, &state, {size}u) != 0
        || write(context, slot == 0, {size}u, &t, (uint32_t)sizeof t) != 0)
        return {upper}_IO;
    return {upper}_OK;
}}

int {prefix}_load({prefix}_read read, void *context)
{{
    struct trailer t;
    const int slot = newest(read, context, &t);
    if (slot < 0)
        return {upper}_NO_SLOT;
    /* Read before and found whole; should the medium fail now, start anew rather than from half. */
    if (read(context, slot, 0u, &state, {size}u) != 0
        || crc32_of(0u, &state, {size}u) != t.data_crc) {{
        {prefix}_init();
        return {upper}_IO;
    }}
    return {upper}_OK;
}}"""
