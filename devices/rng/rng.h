/* The virtio entropy device: virtio 1.3, 5.4. */
#ifndef DEVICES_RNG_RNG_H
#define DEVICES_RNG_RNG_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/rng/entropy.h"
#include "devices/rng/rate.h"
#include "virtio/mmio.h"
#include "virtio/queue.h"
#include "virtio/virtio.h"
#include "vmm/guest_memory.h"
#include "vmm/irq_line.h"

#define RNG_QUEUE_SIZE VIRTQUEUE_SIZE_MAX

/* The bounds of one kick or poll: buffers, bytes a buffer, and 64-bit words asked of the source. */
#define RNG_CHAINS_PER_CALL 16U
#define RNG_CHAIN_BYTES_MAX ENTROPY_POOL_SIZE
/* What a buffer waits for, unless it is smaller; a bigger one gets what there is beyond. */
#define RNG_CHAIN_BYTES_MIN 64U
#define RNG_WORDS_PER_CALL  64U

/* Of these, what a call that found the pool short asks for at its end: for three requests more. */
#define RNG_WORDS_AHEAD 24U

#define RNG_TIMED_EVERY 16U

/* All that a device can offer beyond VIRTIO_F_VERSION_1. */
#define RNG_FEATURES                                                                               \
    (VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX | VIRTIO_FEATURE_RING_PACKED |        \
     VIRTIO_FEATURE_IN_ORDER | VIRTIO_FEATURE_NOTIFICATION_DATA | VIRTIO_FEATURE_RING_RESET |      \
     VIRTIO_FEATURE_SUSPEND)

struct rng_counters {
    uint64_t requests;    /* buffers completed */
    uint64_t bytes;       /* put into buffers */
    uint64_t short_fills; /* completed with less than they had room for */
    uint64_t parked;      /* buffers that had to wait for bytes */
    uint64_t throttled;   /* buffers that had to wait for their time */
    uint64_t ticks;       /* of `timed` kicks and polls, completion included, source as well */
    uint64_t timed;       /* one in RNG_TIMED_EVERY: looking at the clock costs something too */
};

/*
 * One device. It points into itself, so it must stay where it was initialised. A completed buffer
 * holds 1 to n good bytes, n being its writable length, and not fewer than RNG_CHAIN_BYTES_MIN if
 * it has room for them: never 0, which the standard forbids and which makes Linux wait for ever,
 * and never more. A buffer without enough waits its turn with those it has, and if the source is in
 * permanent fault the device asks for a reset; the buffer goes on waiting all the same, for Linux's
 * driver takes no notice of such a wish, and may have its hands tied: its probing can wait for this
 * very buffer. A rate limit counts bytes when they are put into a buffer.
 */
struct rng {
    struct virtio_mmio transport;
    struct virtqueue queue;
    struct entropy_core *entropy; /* not owned; shared with other devices */
    struct entropy_share share;
    struct virtqueue_chain chain; /* the buffer in hand, if any */
    bool holding;
    uint32_t filled;   /* bytes of the buffer in hand that it has already */
    bool parked;       /* the buffer in hand was counted as parked */
    bool throttled;    /* or as throttled */
    bool more;         /* stopped at a bound: the ring may hold more */
    uint64_t deadline; /* of the buffer in hand: when its time comes; 0: when there are bytes */
    uint64_t calls;    /* kicks and polls */
    uint64_t (*ticks)(void);
    struct rate rate;
    struct rng_counters counters;
};

/* What a device is made of. Nothing pointed to is owned. */
struct rng_setup {
    struct entropy_core *entropy;
    const struct guest_memory *memory;
    struct irq_line irq;
    volatile uint32_t *page;    /* as in struct virtio_mmio_setup */
    uint64_t features;          /* to offer, of RNG_FEATURES */
    bool legacy;                /* as in struct virtio_mmio_setup */
    struct device_trace *trace; /* likewise */
    uint64_t (*ticks)(void);    /* a clock, for the limit and the counters; NULL: neither works */
    uint64_t rate_bytes;        /* delivered at most in any rate_period ticks; 0: no limit */
    uint64_t rate_period;
};

/*
 * A device in its power-on state: for a bus range of VIRTIO_MMIO_PAGE_SIZE bytes, with
 * virtio_mmio_bus_operations and &rng->transport.
 */
void rng_init(struct rng *rng, const struct rng_setup *setup);

/* Whether there is work left that no kick will announce: a buffer waits. Poll then. */
bool rng_has_work(const struct rng *rng);

/* When to poll, if there is such work: a time of the clock, or 0 for soon and again and again. */
uint64_t rng_deadline(const struct rng *rng);

/* Continues such work, within the bounds above. Does nothing without any. */
void rng_poll(struct rng *rng);

#endif
