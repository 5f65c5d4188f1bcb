/* The packed virtqueue of virtio 1.3, 2.8, seen from the device, with a hostile driver. */
#include "virtio/packed.h"

#include <stddef.h>

#include "virtio/virtio.h"

/* virtio 1.3, 2.8.13: a descriptor, available or used, and where its fields lie. */
struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t id;
    uint16_t flags;
};

#define DESCRIPTOR_SIZE   16U
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
static bool wrap_counter(const struct virtqueue *queue, uint64_t position)
{
    return position / queue->size % 2 == 0;
}

static uint8_t *descriptor_at(const struct virtqueue *queue, uint64_t position)
{
    return queue->descriptors + DESCRIPTOR_SIZE * (position % queue->size);
}

static void packed_start(struct virtqueue *queue)
{
    /* virtio 1.3, 2.8.10.1: the sizes and alignments. Any size goes, not only powers of two. */
    const struct virtqueue_area areas[3] = {
        {queue->descriptor_area, (uint64_t)DESCRIPTOR_SIZE * queue->size, 16},
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
static bool read_descriptor(const struct virtqueue *queue, uint64_t position,
                            struct descriptor *descriptor)
{
    const uint8_t *source = descriptor_at(queue, position);
    bool wrap = wrap_counter(queue, position);
    uint16_t flags = guest_load16(source + DESCRIPTOR_FLAGS);

    if (((flags & DESCRIPTOR_AVAILABLE) != 0) != wrap || ((flags & DESCRIPTOR_USED) != 0) == wrap) {
        return false;
    }
    *descriptor = (struct descriptor){.gpa = guest_load64(source + DESCRIPTOR_GPA),
                                      .length = guest_load32(source + DESCRIPTOR_LENGTH),
                                      .id = guest_load16(source + DESCRIPTOR_ID),
                                      .flags = flags};
    return true;
}

/*
 * Asks for a kick at the next descriptor, then looks again: the driver reads the structure after it
 * has made a descriptor available, so with a full barrier on both sides one sees the other.
 */
static bool rearm(const struct virtqueue *queue, struct descriptor *descriptor)
{
    if ((queue->features & VIRTIO_FEATURE_EVENT_IDX) == 0) {
        return false;
    }
    uint32_t event = (uint32_t)(queue->next_available % queue->size) |
                     (wrap_counter(queue, queue->next_available) ? EVENT_WRAP : 0) |
                     EVENT_FLAG_POSITION << EVENT_FLAGS_SHIFT;

    guest_store32(queue->device_ring, event);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return read_descriptor(queue, queue->next_available, descriptor);
}

/*
 * 2.8.7: entries lie one after the other, and only their write flag means anything. One more than
 * the queue is long is refused by the chain.
 */
static const char *walk_table(const struct virtqueue *queue, const struct descriptor *pointer,
                              struct virtqueue_chain *chain)
{
    const uint8_t *table;
    const char *breach = virtqueue_map_table(queue, pointer->gpa, pointer->length, &table);
    uint64_t words[2];

    for (uint32_t at = 0; breach == NULL && at < pointer->length; at += DESCRIPTOR_SIZE) {
        guest_load_pair(table + at, words);
        breach = virtqueue_chain_add(queue, chain, words[0], (uint32_t)words[1],
                                     (words[1] >> 48 & DESCRIPTOR_WRITE) != 0);
    }
    return breach;
}

/* 2.8.6: a list of descriptors in a row. The chain refuses one that is longer than the queue. */
static const char *walk_list(const struct virtqueue *queue, struct descriptor *descriptor,
                             struct virtqueue_chain *chain)
{
    for (;;) {
        if ((descriptor->flags & DESCRIPTOR_INDIRECT) != 0) {
            return "indirect descriptor in a list";
        }
        const char *breach = virtqueue_chain_add(queue, chain, descriptor->gpa, descriptor->length,
                                                 (descriptor->flags & DESCRIPTOR_WRITE) != 0);

        if (breach != NULL) {
            return breach;
        }
        chain->id = descriptor->id;
        chain->slots = chain->count;
        if ((descriptor->flags & DESCRIPTOR_NEXT) == 0) {
            return NULL;
        }
        if (!read_descriptor(queue, chain->position + chain->slots, descriptor)) {
            return "list made available before it was complete";
        }
    }
}

static bool packed_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    struct descriptor descriptor;
    const char *breach;

    if (!read_descriptor(queue, queue->next_available, &descriptor) && !rearm(queue, &descriptor)) {
        return false;
    }
    if ((descriptor.flags & (DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT)) == DESCRIPTOR_INDIRECT) {
        breach = walk_table(queue, &descriptor, chain);
        chain->id = descriptor.id;
    } else {
        breach = walk_list(queue, &descriptor, chain);
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
