/* The reference model's two rings: what is available, what was used, and who wants to hear of it.
 */
#include "guest-tests/fuzz/model_ring.h"

#include <stdlib.h>

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4, D_AVAIL = 0x80, D_USED = 0x8000 };

static bool in_ram(uint64_t gpa, uint64_t length)
{
    unsigned __int128 end = (unsigned __int128)gpa + length;

    return gpa >= MODEL_RAM_BASE && gpa < MODEL_RAM_BASE + MODEL_RAM_SIZE &&
           end <= MODEL_RAM_BASE + MODEL_RAM_SIZE;
}

static uint64_t load(const struct model *model, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)model->ram[gpa - MODEL_RAM_BASE + i] << 8 * i;
    }
    return value;
}

static void store(struct model *model, uint64_t gpa, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        model->ram[gpa - MODEL_RAM_BASE + i] = (uint8_t)(value >> 8 * i);
    }
}

bool model_has(const struct model *model, unsigned bit)
{
    return (model->features >> bit & 1) != 0;
}

bool model_working(const struct model *model)
{
    return model->ready && !model->broken;
}

static void advance(const struct model *model, struct model_place *place, unsigned slots)
{
    while (slots-- > 0) {
        if (++place->slot == model->size) {
            place->slot = 0;
            place->wrap = !place->wrap;
        }
    }
}

/* 2.7 and 2.8.10.1: sizes and alignments of the three areas. */
static bool good_layout(const struct model *model)
{
    bool packed = model_has(model, F_PACKED);
    uint64_t size = model->size;
    const uint64_t start[3] = {model->descriptors, model->driver_area, model->device_area};
    const uint64_t length[3] = {16 * size, packed ? 4 : 6 + 2 * size, packed ? 4 : 6 + 8 * size};
    const uint64_t align[3] = {16, packed ? 4 : 2, 4};

    if (size == 0 || size > MODEL_QUEUE_MAX) {
        return false;
    }
    if (!packed && __builtin_popcountll(size) != 1) {
        return false;
    }
    uint8_t taken[MODEL_RAM_SIZE] = {0};

    for (unsigned i = 0; i < 3; i++) {
        if (start[i] % align[i] != 0 || !in_ram(start[i], length[i])) {
            return false;
        }
        for (uint64_t j = 0; j < length[i]; j++) {
            if (taken[start[i] - MODEL_RAM_BASE + j]++ != 0) {
                return false; /* one over another */
            }
        }
    }
    return true;
}

bool model_ring_start(struct model *model)
{
    model->avail_idx = 0;
    model->used_idx = 0;
    model->avail = (struct model_place){.slot = 0, .wrap = true};
    model->used = model->avail;
    model->fresh = 0;
    model->in_flight = 0;
    if (!good_layout(model)) {
        return false;
    }
    store(model, model->device_area, model_has(model, F_PACKED) ? 4 : 2, 0);
    return true;
}

/* What may be in a chain: 2.7.4.2, 2.7.5 and the limits of this device. */
static bool add_piece(const struct model *model, struct model_chain *chain, uint64_t gpa,
                      uint32_t length, bool writable)
{
    bool written = chain->count > 0 && chain->pieces[chain->count - 1].writable;

    if (chain->count >= model->size || length == 0 || !in_ram(gpa, length) ||
        (written && !writable)) {
        return false;
    }
    chain->pieces = realloc(chain->pieces, (chain->count + 1) * sizeof(chain->pieces[0]));
    chain->pieces[chain->count++] = (struct model_piece){
        .offset = (uint32_t)(gpa - MODEL_RAM_BASE), .length = length, .writable = writable};
    return true;
}

static bool good_table(const struct model *model, uint64_t gpa, uint32_t length)
{
    return model_has(model, F_INDIRECT) && length != 0 && length % 16 == 0 && in_ram(gpa, length);
}

/* 2.7.5: true with the chain from `head`, false for a breach. */
static bool walk_split(const struct model *model, uint32_t head, struct model_chain *chain)
{
    uint64_t table = model->descriptors;
    uint32_t entries = model->size;
    uint32_t index = head;
    bool indirect = false;

    chain->id = (uint16_t)head;
    chain->slots = 1;
    while (index < entries) {
        uint64_t gpa = load(model, table + 16ULL * index, 8);
        uint32_t length = (uint32_t)load(model, table + 16ULL * index + 8, 4);
        uint32_t flags = (uint32_t)load(model, table + 16ULL * index + 12, 2);
        uint32_t following = (uint32_t)load(model, table + 16ULL * index + 14, 2);

        if ((flags & D_INDIRECT) != 0) {
            if (indirect || (flags & D_NEXT) != 0 || !good_table(model, gpa, length)) {
                return false;
            }
            indirect = true;
            table = gpa;
            entries = length / 16;
            index = 0;
            continue;
        }
        if (!add_piece(model, chain, gpa, length, (flags & D_WRITE) != 0)) {
            return false;
        }
        if ((flags & D_NEXT) == 0) {
            return true;
        }
        index = following;
    }
    return false;
}

enum taken { NOTHING, CHAIN, BREACH };

static enum taken take_split(struct model *model, struct model_chain *chain)
{
    uint16_t waiting = (uint16_t)(load(model, model->driver_area + 2, 2) - model->avail_idx);

    if (waiting > model->size) {
        return BREACH;
    }
    if (waiting == 0) {
        if (model_has(model, F_EVENT_IDX)) {
            store(model, model->device_area + 4 + 8ULL * model->size, 2, model->avail_idx);
        }
        return NOTHING;
    }
    uint64_t element = model->driver_area + 4 + 2ULL * (model->avail_idx % model->size);

    if (!walk_split(model, (uint32_t)load(model, element, 2), chain)) {
        return BREACH;
    }
    model->avail_idx++;
    return CHAIN;
}

static bool available(const struct model *model, struct model_place place)
{
    uint64_t flags = load(model, model->descriptors + 16ULL * place.slot + 14, 2);

    return ((flags & D_AVAIL) != 0) == place.wrap && ((flags & D_USED) != 0) != place.wrap;
}

/* 2.8.5 to 2.8.7. */
static bool walk_packed(const struct model *model, struct model_chain *chain)
{
    struct model_place place = model->avail;
    uint64_t flags;

    do {
        if (!available(model, place)) {
            return false; /* a list is made available as a whole */
        }
        uint64_t at = model->descriptors + 16ULL * place.slot;
        uint64_t gpa = load(model, at, 8);
        uint32_t length = (uint32_t)load(model, at + 8, 4);

        chain->id = (uint16_t)load(model, at + 12, 2);
        flags = load(model, at + 14, 2);
        chain->slots++;
        if ((flags & D_INDIRECT) != 0) {
            if ((flags & D_NEXT) != 0 || chain->slots > 1 || !good_table(model, gpa, length)) {
                return false;
            }
            for (uint32_t i = 0; i < length / 16; i++) {
                uint64_t entry = gpa + 16ULL * i;

                if (!add_piece(model, chain, load(model, entry, 8),
                               (uint32_t)load(model, entry + 8, 4),
                               (load(model, entry + 14, 2) & D_WRITE) != 0)) {
                    return false;
                }
            }
        } else if (!add_piece(model, chain, gpa, length, (flags & D_WRITE) != 0)) {
            return false;
        }
        advance(model, &place, 1);
    } while ((flags & D_NEXT) != 0);
    /* 2.8.15: not more than the ring holds. */
    return model->in_flight + chain->slots <= model->size;
}

static enum taken take_packed(struct model *model, struct model_chain *chain)
{
    if (!available(model, model->avail)) {
        if (model_has(model, F_EVENT_IDX)) {
            store(model, model->device_area, 4,
                  model->avail.slot | (model->avail.wrap ? 0x8000U : 0) | 2U << 16);
        }
        return NOTHING;
    }
    if (!walk_packed(model, chain)) {
        return BREACH;
    }
    advance(model, &model->avail, chain->slots);
    return CHAIN;
}

bool model_ring_take(struct model *model, struct model_chain *chain)
{
    enum taken taken = NOTHING;

    *chain = (struct model_chain){.pieces = NULL};
    if (model_working(model) && !model->paused) {
        taken = model_has(model, F_PACKED) ? take_packed(model, chain) : take_split(model, chain);
    }
    if (taken == BREACH) {
        /* Told by queue_done(), after what was used before. */
        model->broken = true;
    }
    if (taken != CHAIN) {
        free(chain->pieces);
        return false;
    }
    model->in_flight += chain->slots;
    return true;
}

/* 2.7.8 and 2.8.4. */
void model_ring_give_back(struct model *model, const struct model_chain *chain, uint32_t length)
{
    if (!model_working(model)) {
        return;
    }
    if (model_has(model, F_PACKED)) {
        uint64_t at = model->descriptors + 16ULL * model->used.slot;

        store(model, at + 8, 4, length);
        store(model, at + 12, 2, chain->id);
        store(model, at + 14, 2,
              (model->used.wrap ? D_AVAIL | D_USED : 0) | (length > 0 ? D_WRITE : 0));
        advance(model, &model->used, chain->slots);
    } else {
        uint64_t at = model->device_area + 4 + 8ULL * (model->used_idx % model->size);

        store(model, at, 4, chain->id);
        store(model, at + 4, 4, length);
        model->used_idx++;
        store(model, model->device_area + 2, 2, model->used_idx);
    }
    model->fresh += chain->slots;
    model->in_flight -= chain->slots;
}

/* 2.7.7 and 2.8.14: each position used since is looked at in turn. */
bool model_ring_must_notify(const struct model *model)
{
    bool event_idx = model_has(model, F_EVENT_IDX);

    if (!model_has(model, F_PACKED)) {
        uint64_t event = load(model, model->driver_area + 4 + 2ULL * model->size, 2);

        if (!event_idx) {
            return (load(model, model->driver_area, 2) & 1) == 0;
        }
        for (unsigned i = 1; i <= model->fresh; i++) {
            if ((uint16_t)(model->used_idx - i) == event) {
                return true;
            }
        }
        return false;
    }
    uint64_t event = load(model, model->driver_area, 4);
    uint32_t flags = event >> 16 & 3;
    uint32_t offset = event & 0x7fff;
    bool wrap = (event & 0x8000) != 0;

    if (flags != 2 || !event_idx || offset >= model->size) {
        return flags != 1; /* 3 and a place that does not exist are no reason to be silent */
    }
    struct model_place place = model->used;

    for (unsigned i = 0; i < model->fresh; i++) {
        if (place.slot == 0) {
            place.slot = model->size;
            place.wrap = !place.wrap;
        }
        place.slot--;
        if (place.slot == offset && place.wrap == wrap) {
            return true;
        }
    }
    return false;
}
