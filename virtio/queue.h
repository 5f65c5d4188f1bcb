/* A virtqueue as a device sees it, whatever ring is underneath. */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest_memory.h"

/*
 * The longest queue any device here may have. A chain is never longer than its queue (virtio 1.3,
 * 2.7.5.3.1), so this also bounds the work of taking one.
 */
#define VIRTQUEUE_SIZE_MAX 64U

/* One buffer element. All of [gpa, gpa + length) was in guest RAM when the chain was taken. */
struct virtqueue_segment {
    uint64_t gpa;
    uint32_t length; /* bytes, never 0 */
};

/* A buffer the driver made available: device-readable segments first, then device-writable ones. */
struct virtqueue_chain {
    uint16_t id;       /* what the ring names the buffer by when it is given back */
    uint16_t readable; /* segments [0, readable) */
    uint16_t count;    /* segments [readable, count) are writable */
    uint64_t readable_length;
    uint64_t writable_length;
    struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
};

struct virtqueue;

/* What a ring format implements. Called only on a queue that is ready and not broken. */
struct virtqueue_ring {
    /* Checks the configured size and addresses and starts from the ring's initial state. */
    void (*start)(struct virtqueue *queue);
    bool (*take)(struct virtqueue *queue, struct virtqueue_chain *chain);
    void (*complete)(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t length);
    bool (*must_notify)(struct virtqueue *queue);
};

struct virtqueue {
    /* Set once by virtqueue_init(). */
    const struct guest_memory *memory; /* not owned */
    uint16_t size_max;

    /* What the driver configures, as written and unchecked until the start. */
    uint32_t size;
    uint64_t descriptor_area;
    uint64_t driver_area;
    uint64_t device_area;
    bool ready;

    /* Set at the start and kept by the ring. Positions run freely and wrap at 2^16. */
    const struct virtqueue_ring *ring;
    uint64_t features;
    uint16_t next_available;
    uint16_t next_used;
    uint16_t notified_used; /* next_used when the driver was last considered for a notification */
    const char *breach; /* the rule the driver broke, NULL if none: the queue is dead till reset */
};

/* Makes `queue` one of at most `size_max` entries (a power of two up to VIRTQUEUE_SIZE_MAX). */
void virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory, uint16_t size_max);

/* Back to the state after virtqueue_init(): not ready, nothing configured, nothing in flight. */
void virtqueue_reset(struct virtqueue *queue);

/*
 * Puts a configured queue to work under `ring` with the negotiated `features`. A bad configuration
 * breaks the queue. Touches nothing but the ring's own areas.
 */
void virtqueue_start(struct virtqueue *queue, const struct virtqueue_ring *ring, uint64_t features);

/*
 * The next available buffer, checked in full, into `chain`. False if there is none just now (the
 * driver has then been asked to kick for the next one) or if the queue is not ready or broken. The
 * work is bounded by the queue's size.
 */
bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain);

/*
 * Gives a taken buffer back. `length`: how many bytes, from the first writable one on, the device
 * wrote (virtio 1.3, 2.7.8); at most the chain's writable_length. Buffers may complete in any
 * order.
 */
void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        uint32_t length);

/*
 * Whether the driver wants a notification for what was completed since the last call. Each call
 * answers for those completions once and for all.
 */
bool virtqueue_must_notify(struct virtqueue *queue);

/*
 * Marks the queue broken; `breach` (a string that stays) names the rule. The first one is kept. The
 * device then owes the driver DEVICE_NEEDS_RESET, and only virtqueue_reset() mends the queue.
 */
void virtqueue_break(struct virtqueue *queue, const char *breach);

/*
 * The hypervisor's view of the chain's writable bytes from `offset` on, as far as they are
 * contiguous: *length receives their number. NULL at or past writable_length.
 */
void *virtqueue_writable(const struct virtqueue *queue, const struct virtqueue_chain *chain,
                         uint64_t offset, uint32_t *length);

#endif
