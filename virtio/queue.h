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

/* One buffer element, all of it in guest RAM. */
struct virtqueue_segment {
    uint8_t *hva;    /* where the hypervisor sees it */
    uint32_t length; /* bytes, never 0 */
};

/* A buffer the driver made available: device-readable segments first, then device-writable ones. */
struct virtqueue_chain {
    uint64_t position; /* where in the ring it was found, as in struct virtqueue */
    uint16_t slots;    /* how many positions it takes */
    uint16_t id;       /* what the ring names the buffer by when it is given back */
    uint16_t readable; /* segments [0, readable) */
    uint16_t count;    /* segments [readable, count) are writable */
    uint64_t readable_length;
    uint64_t writable_length;
    struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
};

struct virtqueue;

/*
 * What a ring format implements. Called only on a queue that is ready and not broken; a breach of
 * the driver's duties is told by virtqueue_break().
 */
struct virtqueue_ring {
    /* Checks the configured size and addresses and starts from the ring's initial state. */
    void (*start)(struct virtqueue *queue);
    /* Fills `chain`, empty and of one slot, with what is available at next_available, if any. */
    bool (*take)(struct virtqueue *queue, struct virtqueue_chain *chain);
    /* Writes what tells the driver of a used buffer, at next_used. */
    void (*complete)(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t length);
    /* Whether the driver wants to hear of the last `completed` positions before next_used. */
    bool (*must_notify)(struct virtqueue *queue, uint64_t completed);
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
    uint32_t legacy_page;      /* QueuePFN: virtio 1.3, 4.2.4 */
    uint32_t legacy_alignment; /* QueueAlign */
    bool ready;
    bool paused; /* by the transport: nothing more is taken */

    /*
     * Set at the start. Positions count ring elements since then; the ring formats derive index,
     * offset and wrap counter from them.
     */
    const struct virtqueue_ring *ring;
    uint64_t features;
    uint8_t *descriptors; /* where the hypervisor sees the three areas, checked */
    uint8_t *driver_ring;
    uint8_t *device_ring;
    uint64_t next_available;
    uint64_t next_used;
    uint64_t notified_used; /* next_used when the driver was last considered for a notification */
    const char *breach; /* the rule the driver broke, NULL if none: the queue is dead till reset */
};

/* Makes `queue` one of at most `size_max` entries, itself at most VIRTQUEUE_SIZE_MAX. */
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
 * driver has then been asked to kick for the next one) or if the queue is not ready or broken; what
 * `chain` holds is then of no use. The work is bounded by the queue's size.
 */
bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain);

/*
 * Gives a taken buffer back. `length`: how many bytes, from the first writable one on, the device
 * wrote (virtio 1.3, 2.7.8); at most the chain's writable_length. Buffers may complete in any
 * order, unless VIRTIO_F_IN_ORDER was negotiated: then only in the order in which they were taken.
 */
void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        uint32_t length);

/*
 * Whether the driver wants a notification for what was completed since the last call. Each call
 * answers for those completions once and for all.
 */
bool virtqueue_must_notify(struct virtqueue *queue);

/* Whether buffers were taken that are not completed. */
bool virtqueue_in_flight(const struct virtqueue *queue);

/*
 * Marks the queue broken; `breach` (a string that stays) names the rule. The first one is kept. The
 * device then owes the driver DEVICE_NEEDS_RESET, and only virtqueue_reset() mends the queue.
 */
void virtqueue_break(struct virtqueue *queue, const char *breach);

/*
 * The hypervisor's view of the chain's writable bytes from `offset` on, as far as they are
 * contiguous: *length receives their number. NULL at or past writable_length.
 */
uint8_t *virtqueue_writable(const struct virtqueue_chain *chain, uint64_t offset, uint32_t *length);

/* For ring formats: the rest. Each returns NULL or the rule that was broken. */

struct virtqueue_area {
    uint64_t gpa;
    uint64_t size;
    uint64_t alignment;
};

/*
 * Finds the three areas (descriptors, driver's, device's), after a check that they are aligned, in
 * guest RAM, and none over another.
 */
const char *virtqueue_map_areas(struct virtqueue *queue, const struct virtqueue_area areas[3]);

/* Finds an indirect table of 16-byte descriptors, after a check of its address and length. */
const char *virtqueue_map_table(const struct virtqueue *queue, uint64_t gpa, uint32_t length,
                                const uint8_t **table);

/* Adds an element to a chain, of which there are at most as many as the queue has entries. */
const char *virtqueue_chain_add(const struct virtqueue *queue, struct virtqueue_chain *chain,
                                uint64_t gpa, uint32_t length, bool writable);

#endif
