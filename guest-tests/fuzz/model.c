/* The reference model: interrupts, the queue's states, the device type, the registers. */
#include "guest-tests/fuzz/model.h"

#include <stdlib.h>
#include <string.h>

#include "guest-tests/fuzz/model_ring.h"

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
static uint64_t driver_features(const struct model *model)
{
    return (model->driver_features[0] | (uint64_t)model->driver_features[1] << 32) & model->offered;
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

bool model_running(const struct model *model)
{
    return (model->status & FAILED) == 0 && (model->legacy || (model->status & DRIVER_OK) != 0);
}

/* --- The queue --- */

static void forget_held(struct model *model)
{
    for (unsigned i = 0; i < model->held_count; i++) {
        free(model->held[i].pieces);
    }
    model->held_count = 0;
}

static void start_queue(struct model *model)
{
    model->ready = true;
    model->broken = false;
    model->features = driver_features(model);
    if (!model_ring_start(model)) {
        breach(model);
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

static void finish_suspend(struct model *model)
{
    if (model->suspending && !(model_working(model) && model->in_flight > 0)) {
        model->suspending = false;
        model->status = (model->status & ~(uint32_t)DRIVER_OK) | SUSPEND;
    }
}

static void queue_done(struct model *model)
{
    if (model->ready && model->fresh > 0 && model_ring_must_notify(model)) {
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
    model_ring_give_back(model, chain, written);
    free(chain->pieces);
}

static void kicked(struct model *model)
{
    struct model_chain chain;

    for (unsigned i = 0; i < MODEL_CHAINS_PER_KICK && model->held_count < MODEL_HELD_MAX; i++) {
        if (!model_ring_take(model, &chain)) {
            break;
        }
        if (model->hold || (model_has(model, F_IN_ORDER) && model->held_count > 0)) {
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
    if (index == 0 && model_working(model) && model_running(model)) {
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
