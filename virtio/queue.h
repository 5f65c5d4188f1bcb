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

/*@
  // `length` bytes of some region from `hva` on.
  predicate region_bytes(struct guest_memory_region *r, uint8_t *hva, integer length) =
    \base_addr(hva) == \base_addr(r->hva) &&
    r->hva <= hva && hva + length <= r->hva + r->size;
  predicate ram_bytes(struct guest_memory *m, uint8_t *hva, integer length) =
    \valid(hva + (0 .. length - 1)) &&
    ((0 < m->count && region_bytes(&m->regions[0], hva, length)) ||
     (1 < m->count && region_bytes(&m->regions[1], hva, length)));

  logic boolean queue_packed(struct virtqueue *q) = (q->features & (1 << 34)) != 0;

  // virtio 1.3, 2.7 and 2.8.10.1: how long the driver's and the device's area are.
  logic integer driver_area_size(struct virtqueue *q) =
    queue_packed(q) ? 4 : 6 + 2 * q->size;
  logic integer device_area_size(struct virtqueue *q) =
    queue_packed(q) ? 4 : 6 + 8 * q->size;

  predicate queue_mapped(struct virtqueue *q) =
    0 < q->size <= q->size_max &&
    ram_bytes(q->memory, q->descriptors, 16 * q->size) &&
    ram_bytes(q->memory, q->driver_ring, driver_area_size(q)) &&
    ram_bytes(q->memory, q->device_ring, device_area_size(q));

  // Whose memory it is and how long it may get: what virtqueue_init() is given.
  predicate queue_made(struct virtqueue *q) =
    \valid(q) && \valid_read(q->memory) && \separated(q, q->memory) &&
    guest_memory_sound(q->memory) && 0 < q->size_max <= VIRTQUEUE_SIZE_MAX;

  predicate queue_idle(struct virtqueue *q) = !q->ready && q->next_used == q->notified_used;

  // As predicates, or the provers would not find the way through the copy of a whole structure.
  predicate queue_of(struct virtqueue *q, struct guest_memory *m, integer size_max) =
    q->memory == m && q->size_max == size_max;

  predicate queue_at_work(struct virtqueue *q) = queue_made(q) && queue_mapped(q);

  // What every function here keeps up.
  predicate queue_sound(struct virtqueue *q) =
    queue_made(q) &&
    (q->ready && (q->breach == \null || q->next_used != q->notified_used) ==> queue_mapped(q));

  predicate chain_apart(struct virtqueue *q, struct virtqueue_chain *c) =
    \valid(c) && \separated(c, q, q->memory);

  // Each segment is guest RAM, and the chain is no longer than the standard allows.
  predicate chain_sound(struct virtqueue *q, struct virtqueue_chain *c) =
    c->readable <= c->count <= q->size && c->readable_length + c->writable_length <= 1 << 32 &&
    \forall integer i; 0 <= i < c->count ==>
      0 < c->segments[i].length &&
      ram_bytes(q->memory, c->segments[i].hva, c->segments[i].length);
*/

/* Makes `queue` one of at most `size_max` entries, itself at most VIRTQUEUE_SIZE_MAX. */
/*@ requires \valid(queue) && \valid_read(memory) && \separated(queue, memory);
    requires guest_memory_sound(memory) && 0 < size_max <= VIRTQUEUE_SIZE_MAX;
    assigns *queue;
    ensures made: queue_made(queue);
    ensures idle: queue_idle(queue); */
void virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory, uint16_t size_max);

/* Back to the state after virtqueue_init(): not ready, nothing configured, nothing in flight. */
/*@ requires queue_made(queue);
    assigns *queue;
    ensures made: queue_made(queue);
    ensures idle: queue_idle(queue); */
void virtqueue_reset(struct virtqueue *queue);

/*
 * Puts a configured queue to work under `ring` with the negotiated `features`. A bad configuration
 * breaks the queue. Touches nothing but the ring's own areas.
 */
/*@ requires queue_made(queue) && \valid_read(ring) && \separated(queue, ring);
    assigns *queue, guest_stored,
            queue->memory->regions[0].hva[0 .. queue->memory->regions[0].size - 1],
            queue->memory->regions[1].hva[0 .. queue->memory->regions[1].size - 1];
    ensures queue_sound(queue); */
void virtqueue_start(struct virtqueue *queue, const struct virtqueue_ring *ring, uint64_t features);

/*
 * The next available buffer, checked in full, into `chain`. False if there is none just now (the
 * driver has then been asked to kick for the next one) or if the queue is not ready or broken; what
 * `chain` holds is then of no use. The work is bounded by the queue's size.
 */
/*@ requires queue_sound(queue) && chain_apart(queue, chain);
    requires queue->ready ==> \valid_read(queue->ring);
    assigns *chain, queue->breach, queue->next_available, guest_loads, guest_stored,
            queue->device_ring[0 .. device_area_size(queue) - 1];
    ensures sound: queue_sound(queue);
    ensures taken: \result ==> chain_sound(queue, chain) && 1 <= chain->count &&
      1 <= chain->slots <= queue->size;
    ensures loads: guest_loads <= \old(guest_loads) + 4 * VIRTQUEUE_SIZE_MAX + 5; */
bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain);

/*
 * Gives a taken buffer back. `length`: how many bytes, from the first writable one on, the device
 * wrote (virtio 1.3, 2.7.8); at most the chain's writable_length. Buffers may complete in any
 * order, unless VIRTIO_F_IN_ORDER was negotiated: then only in the order in which they were taken.
 */
/*@ requires queue_sound(queue) && chain_apart(queue, chain);
    requires queue->ready ==> \valid_read(queue->ring);
    requires queue->next_used + chain->slots <= UINT64_MAX && 1 <= chain->slots;
    assigns queue->breach, queue->next_used, guest_stored,
            queue->descriptors[0 .. 16 * queue->size - 1],
            queue->device_ring[0 .. device_area_size(queue) - 1];
    ensures sound: queue_sound(queue);
    ensures monotone: queue->next_used == \old(queue->next_used) + chain->slots ||
      queue->next_used == \old(queue->next_used); */
void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        uint32_t length);

/*
 * Whether the driver wants a notification for what was completed since the last call. Each call
 * answers for those completions once and for all.
 */
/*@ requires queue_sound(queue) && (queue->ready ==> \valid_read(queue->ring));
    assigns queue->notified_used, guest_loads;
    ensures queue_sound(queue) && queue->notified_used == queue->next_used;
    ensures guest_loads <= \old(guest_loads) + 1; */
bool virtqueue_must_notify(struct virtqueue *queue);

/* Whether buffers were taken that are not completed. */
/*@ requires queue_sound(queue);
    assigns \nothing; */
bool virtqueue_in_flight(const struct virtqueue *queue);

/*
 * Marks the queue broken; `breach` (a string that stays) names the rule. The first one is kept. The
 * device then owes the driver DEVICE_NEEDS_RESET, and only virtqueue_reset() mends the queue.
 */
/*@ requires \valid(queue) && breach != \null;
    assigns queue->breach;
    ensures told: queue->breach == (\old(queue->breach) == \null ? breach : \old(queue->breach));
    ensures made: \old(queue_made(queue)) ==> queue_made(queue);
    ensures mapped: \old(queue_mapped(queue)) ==> queue_mapped(queue); */
void virtqueue_break(struct virtqueue *queue, const char *breach);

/*
 * The hypervisor's view of the chain's writable bytes from `offset` on, as far as they are
 * contiguous: *length receives their number. NULL at or past writable_length.
 */
/*@ requires \valid_read(chain) && \valid(length) && \separated(chain, length);
    requires chain->readable <= chain->count <= VIRTQUEUE_SIZE_MAX;
    assigns *length;
    ensures \result != \null ==>
      \exists integer i, o; chain->readable <= i < chain->count &&
        0 <= o && 0 < *length && o + *length == chain->segments[i].length &&
        \result == chain->segments[i].hva + o; */
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
/*@ requires queue_made(queue) && \valid_read(areas + (0 .. 2));
    requires \separated(queue, areas + (0 .. 2));
    requires \forall integer i; 0 <= i < 3 ==> 0 < areas[i].size && 0 < areas[i].alignment;
    assigns queue->descriptors, queue->driver_ring, queue->device_ring;
    ensures descriptors: \result == \null ==>
      guest_ram(queue->memory, areas[0].gpa, areas[0].size, queue->descriptors) &&
      \valid(queue->descriptors + (0 .. areas[0].size - 1));
    ensures driver: \result == \null ==>
      guest_ram(queue->memory, areas[1].gpa, areas[1].size, queue->driver_ring) &&
      \valid(queue->driver_ring + (0 .. areas[1].size - 1));
    ensures device: \result == \null ==>
      guest_ram(queue->memory, areas[2].gpa, areas[2].size, queue->device_ring) &&
      \valid(queue->device_ring + (0 .. areas[2].size - 1));
    ensures aligned: \result == \null ==>
      \forall integer i; 0 <= i < 3 ==> areas[i].gpa % areas[i].alignment == 0;
    ensures apart: \result == \null ==>
      \forall integer i, j; 0 <= j < i < 3 ==>
        areas[i].gpa + areas[i].size <= areas[j].gpa ||
        areas[j].gpa + areas[j].size <= areas[i].gpa; */
const char *virtqueue_map_areas(struct virtqueue *queue, const struct virtqueue_area areas[3]);

/* An indirect table of 16-byte descriptors, or the rule that was broken. */
struct virtqueue_table {
    const uint8_t *hva;
    const char *breach;
};

/* Finds such a table, after a check of its address and length. */
/*@ requires queue_made(queue);
    assigns \nothing;
    ensures \result.breach == \null ==>
      0 < length && length % 16 == 0 && guest_ram(queue->memory, gpa, length, \result.hva) &&
      \valid(\result.hva + (0 .. length - 1)); */
struct virtqueue_table virtqueue_map_table(const struct virtqueue *queue, uint64_t gpa,
                                           uint32_t length);

/* Adds an element to a chain, of which there are at most as many as the queue has entries. */
/*@ requires queue_made(queue) && 0 < queue->size <= queue->size_max;
    requires chain_apart(queue, chain) && chain_sound(queue, chain);
    assigns chain->segments[0 .. 63], chain->count, chain->readable, chain->readable_length,
            chain->writable_length;
    ensures sound: chain_sound(queue, chain);
    ensures added: \result == \null ==>
      chain->count == \old(chain->count) + 1 &&
      guest_ram(queue->memory, gpa, length, chain->segments[chain->count - 1].hva) &&
      chain->segments[chain->count - 1].length == length;
    ensures refused: \result != \null ==> *chain == \old(*chain);
    ensures made: queue_made(queue);
    ensures mapped: \old(queue_mapped(queue)) ==> queue_mapped(queue); */
const char *virtqueue_chain_add(const struct virtqueue *queue, struct virtqueue_chain *chain,
                                uint64_t gpa, uint32_t length, bool writable);

#endif
