/* The packed virtqueue of virtio 1.3, 2.8, seen from the device, with a hostile driver. */
#include "virtio/packed.h"

#include <stddef.h>

#include "virtio/virtio.h"

/* virtio 1.3, 2.8.13: a descriptor, and where its fields lie. */
struct descriptor {
    bool available; /* and only then the rest */
    uint64_t gpa;
    uint32_t length;
    uint16_t id;
    uint16_t flags;
};

#define DESCRIPTOR_SIZE   16ULL
#define DESCRIPTOR_GPA    0U
#define DESCRIPTOR_LENGTH 8U
#define DESCRIPTOR_ID     12U
#define DESCRIPTOR_FLAGS  14U

#define DESCRIPTOR_NEXT      1U
#define DESCRIPTOR_WRITE     2U
#define DESCRIPTOR_INDIRECT  4U
#define DESCRIPTOR_AVAILABLE (1U << 7)
#define DESCRIPTOR_USED      (1U << 15)

/* virtio 1.3, 2.8.14: an event suppression structure, read and written as one word. */
#define EVENT_SIZE          4U
#define EVENT_OFFSET        0x7fffU
#define EVENT_WRAP          (1U << 15)
#define EVENT_FLAGS_SHIFT   16
#define EVENT_FLAGS         3U
#define EVENT_FLAG_DISABLE  1U
#define EVENT_FLAG_POSITION 2U

/* 2.8.1: the wrap counter of a position is 1 on the first lap and changes with each. */
/*@ requires \valid_read(queue) && 0 < queue->size;
    assigns \nothing; */
static bool wrap_counter(const struct virtqueue *queue, uint64_t position)
{
    return position / queue->size % 2 == 0;
}

/*@ requires queue_at_work(queue);
    assigns \nothing;
    ensures \result == queue->descriptors + 16 * (position % queue->size) &&
      \valid(\result + (0 .. 15)); */
static uint8_t *descriptor_at(const struct virtqueue *queue, uint64_t position)
{
    return queue->descriptors + DESCRIPTOR_SIZE * (position % queue->size);
}

/*@ requires queue_made(queue) && queue_packed(queue) && queue->breach == \null;
    assigns queue->descriptors, queue->driver_ring, queue->device_ring, queue->breach,
            queue->memory->regions[0].hva[0 .. queue->memory->regions[0].size - 1],
            queue->memory->regions[1].hva[0 .. queue->memory->regions[1].size - 1], guest_stored;
    ensures size: queue->breach == \null ==> 0 < queue->size <= queue->size_max;
    ensures descriptors: queue->breach == \null ==>
      ram_bytes(queue->memory, queue->descriptors, 16 * queue->size);
    ensures driver: queue->breach == \null ==>
      ram_bytes(queue->memory, queue->driver_ring, driver_area_size(queue));
    ensures device: queue->breach == \null ==>
      ram_bytes(queue->memory, queue->device_ring, device_area_size(queue));
    ensures cleared: queue->breach == \null ==> guest_stored == 0; */
static void packed_start(struct virtqueue *queue)
{
    /* virtio 1.3, 2.8.10.1: the sizes and alignments. Any size goes, not only powers of two. */
    const struct virtqueue_area areas[3] = {
        {queue->descriptor_area, DESCRIPTOR_SIZE * queue->size, 16},
        {queue->driver_area, EVENT_SIZE, 4},
        {queue->device_area, EVENT_SIZE, 4},
    };
    bool good_size = queue->size != 0 && queue->size <= queue->size_max;
    const char *breach =
        good_size ? virtqueue_map_areas(queue, areas) : "queue size not from 1 to the maximum";

    if (breach != NULL) {
        virtqueue_break(queue, breach);
        return;
    }
    /* Kicks are welcome, whatever the driver left there. */
    guest_store32(queue->device_ring, 0);
}

/*
 * The descriptor at a position, if it is available there (2.8.1). The flags are read first, as they
 * announce the rest, and once.
 */
/*@ requires queue_at_work(queue);
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + (\result.available ? 4 : 1); */
static struct descriptor read_descriptor(const struct virtqueue *queue, uint64_t position)
{
    const uint8_t *source = descriptor_at(queue, position);
    bool wrap = wrap_counter(queue, position);
    struct descriptor descriptor = {.flags = guest_load16(source + DESCRIPTOR_FLAGS)};

    descriptor.available = ((descriptor.flags & DESCRIPTOR_AVAILABLE) != 0) == wrap &&
                           ((descriptor.flags & DESCRIPTOR_USED) != 0) != wrap;
    if (descriptor.available) {
        descriptor.gpa = guest_load64(source + DESCRIPTOR_GPA);
        descriptor.length = guest_load32(source + DESCRIPTOR_LENGTH);
        descriptor.id = guest_load16(source + DESCRIPTOR_ID);
    }
    return descriptor;
}

/*
 * Asks for a kick at the next descriptor, then looks again: the driver reads the structure after it
 * has made a descriptor available, so with a full barrier on both sides one sees the other.
 */
/*@ requires queue_at_work(queue) && queue_packed(queue);
    assigns guest_loads, guest_stored, queue->device_ring[0 .. 3];
    ensures guest_loads <= \old(guest_loads) + 4;
    ensures \result.available ==> guest_loads == \old(guest_loads) + 4; */
static struct descriptor rearm(const struct virtqueue *queue)
{
    struct descriptor none = {.available = false};

    if ((queue->features & VIRTIO_FEATURE_EVENT_IDX) == 0) {
        return none;
    }
    uint32_t event = (uint32_t)(queue->next_available % queue->size) |
                     (wrap_counter(queue, queue->next_available) ? EVENT_WRAP : 0) |
                     EVENT_FLAG_POSITION << EVENT_FLAGS_SHIFT;

    guest_store32(queue->device_ring, event);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return read_descriptor(queue, queue->next_available);
}

/*
 * 2.8.7: entries lie one after the other, and only their write flag means anything. One more than
 * the queue is long is refused by the chain.
 */
/*@ requires queue_at_work(queue);
    requires chain_apart(queue, chain) && chain_sound(queue, chain) && chain->count == 0;
    assigns chain->segments[0 .. 63], chain->count, chain->readable, chain->readable_length,
            chain->writable_length, guest_loads;
    ensures made: queue_made(queue);
    ensures mapped: queue_mapped(queue);
    ensures sound: chain_sound(queue, chain);
    ensures loads: guest_loads <= \old(guest_loads) + chain->count + 1;
    ensures taken: \result == \null ==> 1 <= chain->count &&
      guest_loads == \old(guest_loads) + chain->count; */
static const char *walk_table(const struct virtqueue *queue, struct descriptor pointer,
                              struct virtqueue_chain *chain)
{
    struct virtqueue_table table = virtqueue_map_table(queue, pointer.gpa, pointer.length);
    const char *breach = table.breach;
    uint64_t words[2];

    /*@ loop invariant made: queue_made(queue);
        loop invariant mapped: queue_mapped(queue);
        loop invariant table: breach == \null ==>
          0 < pointer.length && pointer.length % 16 == 0 &&
          \valid_read(table.hva + (0 .. pointer.length - 1)) && at == 16 * chain->count;
        loop invariant chain: chain_sound(queue, chain);
        loop invariant place: at % 16 == 0 && (breach == \null ==> at <= pointer.length);
        loop invariant loads:
          \at(guest_loads, LoopEntry) + chain->count <= guest_loads <=
          \at(guest_loads, LoopEntry) + chain->count + (breach == \null ? 0 : 1);
        loop assigns at, breach, words[0 .. 1], guest_loads, chain->segments[0 .. 63],
                     chain->count, chain->readable, chain->readable_length, chain->writable_length;
        loop variant pointer.length - at; */
    for (uint32_t at = 0; breach == NULL && at < pointer.length; at += DESCRIPTOR_SIZE) {
        guest_load_pair(table.hva + at, words);
        breach = virtqueue_chain_add(queue, chain, words[0], (uint32_t)words[1],
                                     (words[1] >> 48 & DESCRIPTOR_WRITE) != 0);
    }
    return breach;
}

/* 2.8.6: a list of descriptors in a row. The chain refuses one that is longer than the queue. */
/*@ requires queue_at_work(queue);
    requires chain_apart(queue, chain) && chain_sound(queue, chain) && chain->count == 0;
    requires chain->slots == 1;
    assigns chain->id, chain->slots, chain->segments[0 .. 63], chain->count, chain->readable,
            chain->readable_length, chain->writable_length, guest_loads;
    ensures made: queue_made(queue);
    ensures mapped: queue_mapped(queue);
    ensures sound: chain_sound(queue, chain);
    ensures loads: guest_loads <= \old(guest_loads) + 4 * chain->count;
    ensures taken: \result == \null ==> 1 <= chain->count && chain->slots == chain->count;
    ensures once: \result == \null ==>
      guest_loads == \old(guest_loads) + 4 * (chain->count - 1); */
static const char *walk_list(const struct virtqueue *queue, struct descriptor descriptor,
                             struct virtqueue_chain *chain)
{
    /*@ loop invariant made: queue_made(queue);
        loop invariant mapped: queue_mapped(queue);
        loop invariant chain: chain_sound(queue, chain);
        loop invariant loads: guest_loads == \at(guest_loads, LoopEntry) + 4 * chain->count;
        loop assigns descriptor, guest_loads, chain->id, chain->slots, chain->segments[0 .. 63],
                     chain->count, chain->readable, chain->readable_length, chain->writable_length;
        loop variant queue->size - chain->count; */
    for (;;) {
        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0) {
            return "indirect descriptor in a list";
        }
        const char *breach = virtqueue_chain_add(queue, chain, descriptor.gpa, descriptor.length,
                                                 (descriptor.flags & DESCRIPTOR_WRITE) != 0);

        if (breach != NULL) {
            return breach;
        }
        chain->id = descriptor.id;
        chain->slots = chain->count;
        if ((descriptor.flags & DESCRIPTOR_NEXT) == 0) {
            return NULL;
        }
        descriptor = read_descriptor(queue, chain->position + chain->slots);
        if (!descriptor.available) {
            return "list made available before it was complete";
        }
    }
}

/*@ requires queue_at_work(queue) && queue_packed(queue) && queue->breach == \null;
    requires chain_apart(queue, chain) && chain_sound(queue, chain) && chain->count == 0;
    requires chain->slots == 1;
    assigns *chain, queue->breach, guest_loads, guest_stored,
            queue->device_ring[0 .. 3];
    ensures made: queue_made(queue);
    ensures mapped: queue_mapped(queue);
    ensures taken: \result ==> chain_sound(queue, chain) && 1 <= chain->count &&
      1 <= chain->slots <= queue->size && queue->breach == \null;
    ensures loads: guest_loads <= \old(guest_loads) + 4 * queue->size + 5; */
static bool packed_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    struct descriptor descriptor = read_descriptor(queue, queue->next_available);
    const char *breach;

    if (!descriptor.available) {
        descriptor = rearm(queue);
    }
    if (!descriptor.available) {
        return false;
    }
    if ((descriptor.flags & (DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT)) == DESCRIPTOR_INDIRECT) {
        breach = walk_table(queue, descriptor, chain);
        chain->id = descriptor.id;
    } else {
        breach = walk_list(queue, descriptor, chain);
    }
    /* A descriptor that is still the device's was made available again: 2.8.15. */
    if (breach == NULL && queue->next_available + chain->slots - queue->next_used > queue->size) {
        breach = "descriptor made available before it was used";
    }
    if (breach != NULL) {
        virtqueue_break(queue, breach);
    }
    return breach == NULL;
}

/* 2.8.4: one used descriptor for a list, where its first one would be if used in this order. */
/*@ requires queue_at_work(queue) && queue_packed(queue) && \valid_read(chain);
    assigns queue->descriptors[16 * (queue->next_used % queue->size) + 8 ..
                               16 * (queue->next_used % queue->size) + 15], guest_stored; */
static void packed_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                            uint32_t length)
{
    uint8_t *target = descriptor_at(queue, queue->next_used);
    bool wrap = wrap_counter(queue, queue->next_used);
    uint16_t flags = (uint16_t)((wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0) |
                                (length > 0 ? DESCRIPTOR_WRITE : 0));

    /* The rest, and the buffer before it, are there before the flags say so (release). */
    guest_store32(target + DESCRIPTOR_LENGTH, length);
    guest_store16(target + DESCRIPTOR_ID, chain->id);
    guest_store16(target + DESCRIPTOR_FLAGS, flags);
}

/*@ requires queue_at_work(queue) && queue_packed(queue);
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
static bool packed_must_notify(struct virtqueue *queue, uint64_t completed)
{
    uint64_t cycle = 2ULL * queue->size;
    uint32_t event = guest_load32(queue->driver_ring);
    uint32_t flags = event >> EVENT_FLAGS_SHIFT & EVENT_FLAGS;
    uint64_t offset = event & EVENT_OFFSET;

    /* A reserved value or a position beyond the ring must not silence us: it is as no wish. */
    if (flags != EVENT_FLAG_POSITION || (queue->features & VIRTIO_FEATURE_EVENT_IDX) == 0 ||
        offset >= queue->size) {
        return flags != EVENT_FLAG_DISABLE;
    }
    /* How far back the position was last passed; a lap with the other wrap counter lies between. */
    uint64_t position = (event & EVENT_WRAP) != 0 ? offset : offset + queue->size;
    uint64_t passed = (queue->next_used - 1 + cycle - position) % cycle;

    return passed < completed;
}

const struct virtqueue_ring virtqueue_packed = {
    .start = packed_start,
    .take = packed_take,
    .complete = packed_complete,
    .must_notify = packed_must_notify,
};
