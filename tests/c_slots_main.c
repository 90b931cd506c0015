/* The public functions of a model that learns, called as firmware calls them. Returns the line of
   the first check that does not hold. */
#include "model.h"

#include <string.h>

#define CHECK(holds) \
    if (!(holds))    \
    return __LINE__

struct medium {
    unsigned char slots[2][MODEL_SLOT_BYTES];
    uint32_t room; /* bytes that may still be written before the power is cut */
    int broken;    /* reading fails */
    int in_order;  /* writes come from offset 0 upwards without gaps */
    uint32_t next;
};

static struct medium medium;

static int write_slot(void *context, int slot, uint32_t offset, const void *data, uint32_t size)
{
    struct medium *m = (struct medium *)context;
    const uint32_t kept = size < m->room ? size : m->room;
    m->in_order = m->in_order && (offset == 0u || offset == m->next);
    m->next = offset + size;
    memcpy(m->slots[slot] + offset, data, kept);
    m->room -= kept;
    return kept < size;
}

static int read_slot(void *context, int slot, uint32_t offset, void *data, uint32_t size)
{
    struct medium *m = (struct medium *)context;
    memcpy(data, m->slots[slot] + offset, size);
    return m->broken;
}

static float x[64], first[10], before[10], after[10];

static int save(uint32_t room)
{
    medium.room = room;
    medium.in_order = 1;
    return model_save(write_slot, read_slot, &medium);
}

static int load(void)
{
    return model_load(read_slot, &medium);
}

static int differs(const float *a)
{
    float now[10];
    return model_predict(x, now) != MODEL_OK || memcmp(now, a, sizeof now) != 0;
}

static int learn(int32_t label, float lr)
{
    float loss;
    return model_learn(x, &label, lr, &loss);
}

static float bad(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int main(void)
{
    int i;
    uint32_t cut;
    memset(&medium, 0xff, sizeof medium);
    medium.broken = 0;
    for (i = 0; i < 64; i++)
        x[i] = (float)(i % 17);
    model_init();
    CHECK(model_predict(x, first) == MODEL_OK);
    CHECK(load() == MODEL_NO_SLOT && !differs(first));

    /* What cannot be learned leaves everything as it is. */
    CHECK(learn(10, 0.1f) == MODEL_BAD_LABEL && learn(-1, 0.1f) == MODEL_BAD_LABEL);
    CHECK(learn(3, bad(0x7fc00000u)) == MODEL_NOT_FINITE);
    for (i = 0; i < 3; i++) {
        const uint32_t none[3] = {0x7fc00000u, 0x7f800000u, 0xff800000u};
        const float kept = x[63];
        x[63] = bad(none[i]);
        CHECK(learn(3, 0.1f) == MODEL_NOT_FINITE);
        CHECK(model_predict(x, after) == MODEL_NOT_FINITE);
        x[63] = kept;
        CHECK(!differs(first));
    }
    for (i = 0; i < 9 && learn(i, 3e38f) == MODEL_OK;)
        i++;
    CHECK(i < 9 && learn(0, 0.1f) == MODEL_DIVERGED);
    model_init();
    CHECK(!differs(first));

    /* Saved, learned on, loaded again. */
    CHECK(learn(3, 0.1f) == MODEL_OK && differs(first));
    CHECK(model_predict(x, before) == MODEL_OK);
    CHECK(save(UINT32_MAX) == MODEL_OK && medium.in_order);
    CHECK(learn(4, 0.1f) == MODEL_OK && model_predict(x, after) == MODEL_OK && differs(before));
    CHECK(load() == MODEL_OK && !differs(before));

    /* The second goes to the other slot, and is the newest; the third replaces the first. */
    CHECK(learn(4, 0.1f) == MODEL_OK && !differs(after));
    CHECK(save(UINT32_MAX) == MODEL_OK);
    model_init();
    CHECK(load() == MODEL_OK && !differs(after));

    /* The power is cut at every byte: what was there before is still there. */
    for (cut = 0u; cut < MODEL_SLOT_BYTES; cut += cut + 40u < MODEL_SLOT_BYTES ? 997u : 1u) {
        CHECK(learn(5, 0.1f) == MODEL_OK);
        CHECK(save(cut) == MODEL_IO);
        CHECK(load() == MODEL_OK && !differs(after));
    }

    /* A spoilt slot is seen, and the older one is taken; then there is none. */
    medium.slots[1][MODEL_SLOT_BYTES / 2] ^= 4u;
    CHECK(load() == MODEL_NO_SLOT && !differs(after));
    CHECK(save(UINT32_MAX) == MODEL_OK && save(UINT32_MAX) == MODEL_OK);
    medium.slots[0][5] ^= 1u;
    CHECK(load() == MODEL_OK && !differs(after));
    medium.slots[1][MODEL_SLOT_BYTES - 9] ^= 1u;
    CHECK(load() == MODEL_NO_SLOT);
    medium.broken = 1;
    CHECK(load() == MODEL_NO_SLOT && !differs(after));
    return 0;
}
