/* The reference model: registers, then the two rings, then the device type. */
#include "guest-tests/fuzz/model.h"

#include <stdlib.h>
#include <string.h>

#define BIT(n) (1ULL << (n))

enum {
    ACKNOWLEDGE = 1,
    DRIVER = 2,
    DRIVER_OK = 4,
    FEATURES_OK = 8,
    SUSPEND = 16,
    NEEDS_RESET = 64,
    FAILED = 128
};
enum {
    F_INDIRECT = 28,
    F_EVENT_IDX = 29,
    F_VERSION_1 = 32,
    F_PACKED = 34,
    F_IN_ORDER = 35,
    F_NOTIFICATION_DATA = 38,
    F_RING_RESET = 40,
    F_SUSPEND = 43
};
enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4, D_AVAIL = 0x80, D_USED = 0x8000 };

static bool has(const struct model *model, unsigned bit)
{
    return (model->features >> bit & 1) != 0;
}

static uint64_t driver_features(const struct model *model)
{
    return (model->driver_features[0] | (uint64_t)model->driver_features[1] << 32) & model->offered;
}

/* --- Memory --- */

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

/* --- Interrupts --- */

static void interrupt(struct model *model, uint32_t bit)
{
    model->interrupt_status |= bit;
    model->edges++;
}

/* 2.1 and 2.3: told at once if the driver is there to hear it, else when it is. */
static void tell_config_change(struct model *model)
{
    if ((model->status & DRIVER_OK) != 0) {
        model->news = false;
        interrupt(model, 2);
    } else {
        model->news = true;
    }
}

void model_fail(struct model *model)
{
    if ((model->status & NEEDS_RESET) == 0) {
        model->status |= NEEDS_RESET;
        tell_config_change(model);
    }
}

static void breach(struct model *model)
{
    model->broken = true;
    model_fail(model);
}

static bool working(const struct model *model)
{
    return model->ready && !model->broken;
}

bool model_running(const struct model *model)
{
    return (model->status & FAILED) == 0 && (model->legacy || (model->status & DRIVER_OK) != 0);
}

/* --- Rings --- */

static void forget_held(struct model *model)
{
    for (unsigned i = 0; i < model->held_count; i++) {
        free(model->held[i].pieces);
    }
    model->held_count = 0;
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
    bool packed = has(model, F_PACKED);
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

static void start_queue(struct model *model)
{
    model->ready = true;
    model->broken = false;
    model->features = driver_features(model);
    model->avail_idx = 0;
    model->used_idx = 0;
    model->avail = (struct model_place){.slot = 0, .wrap = true};
    model->used = model->avail;
    model->fresh = 0;
    model->in_flight = 0;
    if (!good_layout(model)) {
        breach(model);
    } else if (has(model, F_PACKED)) {
        store(model, model->device_area, 4, 0);
    } else {
        store(model, model->device_area, 2, 0);
    }
}

static void stop_queue(struct model *model)
{
    if (model->ready) {
        model->ready = false;
        forget_held(model);
    }
}

static void reset_queue(struct model *model)
{
    stop_queue(model);
    model->size = MODEL_QUEUE_MAX;
    model->align = 0;
    model->page = 0;
    model->descriptors = 0;
    model->driver_area = 0;
    model->device_area = 0;
    model->broken = false;
    model->in_flight = 0;
    model->fresh = 0;
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
    return has(model, F_INDIRECT) && length != 0 && length % 16 == 0 && in_ram(gpa, length);
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
        if (has(model, F_EVENT_IDX)) {
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
        if (has(model, F_EVENT_IDX)) {
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

static bool take(struct model *model, struct model_chain *chain)
{
    enum taken taken = NOTHING;

    *chain = (struct model_chain){.pieces = NULL};
    if (working(model) && !model->paused) {
        taken = has(model, F_PACKED) ? take_packed(model, chain) : take_split(model, chain);
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
static void give_back(struct model *model, const struct model_chain *chain, uint32_t length)
{
    if (!working(model)) {
        return;
    }
    if (has(model, F_PACKED)) {
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
static bool driver_wants_it(const struct model *model)
{
    bool event_idx = has(model, F_EVENT_IDX);

    if (!has(model, F_PACKED)) {
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

static void finish_suspend(struct model *model)
{
    if (model->suspending && !(working(model) && model->in_flight > 0)) {
        model->suspending = false;
        model->status = (model->status & ~(uint32_t)DRIVER_OK) | SUSPEND;
    }
}

static void queue_done(struct model *model)
{
    if (model->ready && model->fresh > 0 && driver_wants_it(model)) {
        interrupt(model, 1);
    }
    model->fresh = 0;
    if (model->broken) {
        breach(model);
    }
    finish_suspend(model);
}

/* --- The device type --- */

static void use(struct model *model, struct model_chain *chain)
{
    uint32_t left = model->limit;
    uint32_t written = 0;

    for (unsigned i = 0; i < chain->count; i++) {
        for (uint32_t j = 0; chain->pieces[i].writable && j < chain->pieces[i].length && left > 0;
             j++, left--) {
            model->ram[chain->pieces[i].offset + j] = model->pattern++;
            written++;
        }
    }
    give_back(model, chain, written);
    free(chain->pieces);
}

static void kicked(struct model *model)
{
    struct model_chain chain;

    for (unsigned i = 0; i < MODEL_CHAINS_PER_KICK && model->held_count < MODEL_HELD_MAX; i++) {
        if (!take(model, &chain)) {
            break;
        }
        if (model->hold || (has(model, F_IN_ORDER) && model->held_count > 0)) {
            model->held[model->held_count++] = chain;
        } else {
            use(model, &chain);
        }
    }
    queue_done(model);
}

void model_use_held(struct model *model, unsigned index)
{
    struct model_chain chain = model->held[index];

    model->held_count--;
    memmove(&model->held[index], &model->held[index + 1],
            (model->held_count - index) * sizeof(chain));
    use(model, &chain);
    queue_done(model);
}

void model_change_config(struct model *model)
{
    model->config[0]++;
    model->generation++;
    tell_config_change(model);
}

/* --- Registers --- */

static void notify(struct model *model, uint32_t index)
{
    if (index == 0 && working(model) && model_running(model)) {
        kicked(model);
    }
}

static void reset(struct model *model)
{
    forget_held(model);
    model->ready = false;
    reset_queue(model);
    model->paused = false;
    model->status = 0;
    model->interrupt_status = 0;
    model->device_sel = model->driver_sel = model->queue_sel = 0;
    model->driver_features[0] = model->driver_features[1] = 0;
    model->features_beyond = model->news = model->suspending = false;
}

static bool features_fine(const struct model *model)
{
    uint64_t wanted = model->driver_features[0] | (uint64_t)model->driver_features[1] << 32;

    return (wanted & ~model->offered) == 0 && !model->features_beyond &&
           (wanted >> F_VERSION_1 & 1) != 0;
}

static void write_status(struct model *model, uint32_t value)
{
    uint32_t added =
        value & ~model->status & (ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | FAILED);

    if (value == 0) {
        reset(model);
        return;
    }
    if (model->legacy || !features_fine(model)) {
        added &= ~(uint32_t)FEATURES_OK;
    }
    if (!model->legacy && ((model->status | added) & FEATURES_OK) == 0) {
        added &= ~(uint32_t)DRIVER_OK;
    }
    if ((added & FEATURES_OK) != 0 && model->ready) {
        start_queue(model); /* made ready too early: what it is like is known only now */
    }
    model->status |= added;
    if ((added & DRIVER_OK) != 0) {
        model->status &= ~(uint32_t)SUSPEND;
        model->paused = false;
        if (model->news) {
            tell_config_change(model);
        }
        notify(model, 0);
    } else if ((value & SUSPEND) != 0 && (driver_features(model) >> F_SUSPEND & 1) != 0 &&
               model_running(model) && (model->status & NEEDS_RESET) == 0) {
        model->suspending = true;
        model->paused = true;
    }
}

static void write_legacy_queue(struct model *model, uint32_t offset, uint32_t value)
{
    if (offset == 0x040 && value == 0) {
        reset_queue(model);
    } else if (model->ready) {
        return;
    } else if (offset == 0x038) {
        model->size = value;
    } else if (offset == 0x03c) {
        model->align = value;
    } else if (offset == 0x040) {
        model->page = value;
        if (__builtin_popcount(model->align) != 1 ||
            __builtin_popcount(model->guest_page_size) != 1) {
            breach(model);
            return;
        }
        /* 2.7.2: descriptors and available ring, then the used ring at the next boundary. */
        uint64_t end =
            (uint64_t)value * model->guest_page_size + 16ULL * model->size + 6 + 2ULL * model->size;

        model->descriptors = (uint64_t)value * model->guest_page_size;
        model->driver_area = model->descriptors + 16ULL * model->size;
        while (end % model->align != 0) {
            end += model->align - end % model->align;
        }
        model->device_area = end;
        start_queue(model);
    }
}

static void write_queue(struct model *model, uint32_t offset, uint32_t value)
{
    if (offset == 0x044 && value == 0) {
        stop_queue(model);
    } else if (offset == 0x044 && value == 1 && !model->ready) {
        start_queue(model);
    } else if (offset == 0x0c0 && value == 1 && (driver_features(model) >> F_RING_RESET & 1) != 0) {
        reset_queue(model);
    } else if (model->ready) {
        return;
    } else if (offset == 0x038) {
        model->size = value;
    } else if (offset == 0x080 || offset == 0x090 || offset == 0x0a0) {
        uint64_t *area = offset == 0x080   ? &model->descriptors
                         : offset == 0x090 ? &model->driver_area
                                           : &model->device_area;

        *area = (*area >> 32 << 32) | value;
    } else if (offset == 0x084 || offset == 0x094 || offset == 0x0a4) {
        uint64_t *area = offset == 0x084   ? &model->descriptors
                         : offset == 0x094 ? &model->driver_area
                                           : &model->device_area;

        *area = (*area & UINT32_MAX) | (uint64_t)value << 32;
    }
}

static void write_driver_features(struct model *model, uint32_t value)
{
    if ((model->status & FEATURES_OK) != 0) {
        return;
    }
    if (model->driver_sel < 2) {
        model->driver_features[model->driver_sel] = value;
    } else if (value != 0) {
        model->features_beyond = true;
    }
}

void model_write(struct model *model, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case 0x014:
        model->device_sel = value;
        break;
    case 0x020:
        write_driver_features(model, value);
        break;
    case 0x024:
        model->driver_sel = value;
        break;
    case 0x028:
        model->guest_page_size = value;
        break;
    case 0x030:
        model->queue_sel = value;
        break;
    case 0x050:
        notify(model,
               (driver_features(model) >> F_NOTIFICATION_DATA & 1) != 0 ? value & 0xffff : value);
        break;
    case 0x064:
        model->interrupt_status &= ~value;
        break;
    case 0x070:
        write_status(model, value);
        break;
    default:
        if (model->queue_sel == 0 && (model->status & SUSPEND) == 0) {
            if (model->legacy) {
                write_legacy_queue(model, offset, value);
            } else {
                write_queue(model, offset, value);
            }
        }
        break;
    }
    finish_suspend(model);
}

void model_write_config(struct model *model, uint32_t offset, unsigned size, uint64_t value)
{
    if ((model->status & SUSPEND) != 0) {
        return;
    }
    for (unsigned i = 0; i < size && offset + i < MODEL_CONFIG_SIZE; i++) {
        model->config[offset + i] = (uint8_t)(value >> 8 * i);
    }
}

static uint32_t read_register(const struct model *model, uint32_t offset)
{
    bool queue = model->queue_sel == 0;

    switch (offset) {
    case 0x000:
        return 0x74726976;
    case 0x004:
        return model->legacy ? 1 : 2;
    case 0x008:
        return 4;
    case 0x00c:
        return 0x64656553; /* ours */
    case 0x010:
        return model->device_sel == 0   ? (uint32_t)model->offered
               : model->device_sel == 1 ? (uint32_t)(model->offered >> 32)
                                        : 0;
    case 0x034:
        return queue ? MODEL_QUEUE_MAX : 0;
    case 0x040:
        return model->legacy && queue ? model->page : 0;
    case 0x044:
        return !model->legacy && queue && model->ready ? 1 : 0;
    case 0x060:
        return model->interrupt_status;
    case 0x070:
        return model->status;
    case 0x0b0:
    case 0x0b4:
    case 0x0b8:
    case 0x0bc:
        return model->legacy ? 0 : 0xffffffff;
    case 0x0fc:
        return model->legacy ? 0 : model->generation;
    default:
        return 0;
    }
}

uint32_t model_read(const struct model *model, uint32_t offset)
{
    uint32_t value = 0;

    if (offset < 0x100) {
        return read_register(model, offset);
    }
    if (offset - 0x100 < MODEL_CONFIG_SIZE) {
        memcpy(&value, model->config + (offset - 0x100), 4);
    }
    return value;
}

void model_init(struct model *model, bool legacy, uint64_t features)
{
    *model = (struct model){
        .legacy = legacy,
        .offered = legacy ? (features & (BIT(F_INDIRECT) | BIT(F_EVENT_IDX))) | BIT(27)
                          : features | BIT(F_VERSION_1),
        .size = MODEL_QUEUE_MAX,
    };
}

void model_free(struct model *model)
{
    forget_held(model);
}
