/*
 * What a virtio-mmio device with one queue does, written from virtio 1.4 alone and for nothing but
 * clarity: it shares no code with virtio/, has its own copy of guest memory, and walks and copies
 * without a thought for cost. fuzz_reference.c holds the device against it.
 */
#ifndef GUEST_TESTS_FUZZ_MODEL_H
#define GUEST_TESTS_FUZZ_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_RAM_BASE    0x1000U
#define MODEL_RAM_SIZE    0x3000U
#define MODEL_QUEUE_MAX   64U
#define MODEL_CONFIG_SIZE 8U

/* How many buffers the device type takes a kick, and keeps: it stops taking when it has those. */
#define MODEL_CHAINS_PER_KICK 16U
#define MODEL_HELD_MAX        64U

/* A place in a ring: virtio 1.4, 2.8.1. The split ring knows no wrap counter. */
struct model_place {
    uint32_t slot;
    bool wrap;
};

struct model_piece {
    uint32_t offset; /* into RAM */
    uint32_t length;
    bool writable;
};

struct model_chain {
    struct model_piece *pieces; /* from malloc() */
    unsigned count;
    unsigned slots;
    uint16_t id;
};

struct model {
    uint8_t ram[MODEL_RAM_SIZE];
    uint8_t config[MODEL_CONFIG_SIZE];
    bool legacy;
    uint64_t offered;

    uint32_t status, interrupt_status, generation;
    uint32_t device_sel, driver_sel, queue_sel;
    uint32_t driver_features[2];
    bool features_beyond, news, suspending;
    unsigned edges; /* rising edges of the line since the start */

    uint32_t size, align, page, guest_page_size;
    uint64_t descriptors, driver_area, device_area;
    bool ready, broken, paused;
    uint64_t features; /* the queue's, as of its start */
    uint16_t avail_idx, used_idx;
    struct model_place avail, used;
    unsigned fresh;     /* slots used since the driver was last considered for a notification */
    unsigned in_flight; /* slots taken and not used */

    /* The device type: what it was given and holds back. */
    struct model_chain held[MODEL_HELD_MAX];
    unsigned held_count;

    /* The device type's rules, set from outside. */
    bool hold;       /* keep buffers instead of using them at once */
    uint32_t limit;  /* at most so many bytes a buffer */
    uint8_t pattern; /* the next byte to deliver */
};

/* A device that offers `features`, those left out that its layout does not know. */
void model_init(struct model *model, bool legacy, uint64_t features);

/* Frees what it allocated. */
void model_free(struct model *model);

uint32_t model_read(const struct model *model, uint32_t offset);
void model_write(struct model *model, uint32_t offset, uint32_t value);
void model_write_config(struct model *model, uint32_t offset, unsigned size, uint64_t value);

/*
 * The device type's own doings: it changes its configuration, uses a buffer that it held, or meets
 * an error that only a reset cures.
 */
void model_change_config(struct model *model);
void model_use_held(struct model *model, unsigned index);
void model_fail(struct model *model);

bool model_running(const struct model *model);

#endif
