/* The split virtqueue of virtio 1.3, 2.7, seen from the device, with a hostile driver. */
#include "virtio/split.h"

#include <stddef.h>

#include "virtio/virtio.h"

/* virtio 1.3, 2.7.5: a descriptor. */
struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

#define DESCRIPTOR_SIZE 16U

#define DESCRIPTOR_NEXT     1U
#define DESCRIPTOR_WRITE    2U
#define DESCRIPTOR_INDIRECT 4U

/* virtio 1.3, 2.7.6 and 2.7.8: both rings are flags, idx, elements, then the other side's event. */
#define RING_FLAGS        0U
#define RING_IDX          2U
#define RING_ELEMENTS     4U
#define AVAILABLE_ELEMENT 2U
#define USED_ELEMENT      8U

#define AVAILABLE_NO_INTERRUPT 1U

static uint8_t *avail_event(const struct virtqueue *queue)
{
    return queue->device_ring + RING_ELEMENTS + USED_ELEMENT * queue->size;
}

static const uint8_t *used_event(const struct virtqueue *queue)
{
    return queue->driver_ring + RING_ELEMENTS + AVAILABLE_ELEMENT * queue->size;
}

static void split_start(struct virtqueue *queue)
{
    /* virtio 1.3, 2.7: sizes and alignments of the three areas. The driver may not overlap them. */
    const struct virtqueue_area areas[3] = {
        {queue->descriptor_area, (uint64_t)DESCRIPTOR_SIZE * queue->size, 16},
        {queue->driver_area, RING_ELEMENTS + (uint64_t)AVAILABLE_ELEMENT * queue->size + 2, 2},
        {queue->device_area, RING_ELEMENTS + (uint64_t)USED_ELEMENT * queue->size + 2, 4},
    };
    bool good_size = queue->size != 0 && queue->size <= queue->size_max &&
                     (queue->size & (queue->size - 1)) == 0;
    const char *breach = good_size ? virtqueue_map_areas(queue, areas)
                                   : "queue size not a power of two up to the maximum";

    if (breach != NULL) {
        virtqueue_break(queue, breach);
        return;
    }
    /* 2.7.10.1: flags is 0 or 1 without EVENT_IDX and 0 with it, whatever the driver left there. */
    guest_store16(queue->device_ring + RING_FLAGS, 0);
}

/* How many buffers wait; 0 also when the queue turns out broken. */
static uint16_t waiting(struct virtqueue *queue)
{
    uint16_t idx = guest_load16(queue->driver_ring + RING_IDX);
    uint16_t count = (uint16_t)(idx - queue->next_available);

    /* A decrement shows up as a huge step forward. */
    if (count > queue->size) {
        virtqueue_break(queue, "available idx moved by more than the queue size");
        return 0;
    }
    return count;
}

/*
 * Asks for a kick at the next buffer, then looks again: the driver reads avail_event after it has
 * moved idx, so with a full barrier on both sides one of the two sees the other (2.7.10).
 */
static bool rearm(struct virtqueue *queue)
{
    if (queue->breach != NULL || (queue->features & VIRTIO_FEATURE_EVENT_IDX) == 0) {
        return false;
    }
    guest_store16(avail_event(queue), (uint16_t)queue->next_available);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return waiting(queue) > 0;
}

/* The table a walk is in: the queue's own or, below one descriptor of it, an indirect one. */
struct table {
    const uint8_t *hva;
    uint32_t entries;
    bool indirect;
};

/* virtio 1.3, 2.7.5.3. The write flag of the descriptor that points to a table means nothing. */
static const char *enter_indirect(const struct virtqueue *queue, struct table *table,
                                  const struct descriptor *descriptor)
{
    const uint8_t *hva;
    const char *breach = virtqueue_map_table(queue, descriptor->gpa, descriptor->length, &hva);

    if (breach != NULL) {
        return breach;
    }
    if (table->indirect) {
        return "indirect descriptor inside an indirect table";
    }
    if ((descriptor->flags & DESCRIPTOR_NEXT) != 0) {
        return "indirect descriptor with a next one";
    }
    *table = (struct table){
        .hva = hva, .entries = descriptor->length / DESCRIPTOR_SIZE, .indirect = true};
    return NULL;
}

static struct descriptor read_descriptor(const uint8_t *source)
{
    uint64_t words[2];

    guest_load_pair(source, words);
    return (struct descriptor){.gpa = words[0],
                               .length = (uint32_t)words[1],
                               .flags = (uint16_t)(words[1] >> 32),
                               .next = (uint16_t)(words[1] >> 48)};
}

/*
 * Follows a chain from its head. Each turn adds a segment, of which there are at most as many as
 * the queue has entries, or enters the one indirect table: so a loop ends as too long a chain.
 */
static const char *walk(const struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain)
{
    struct table table = {.hva = queue->descriptors, .entries = queue->size};
    struct descriptor descriptor;
    const char *breach;
    uint16_t index = head;

    chain->id = head;
    for (;;) {
        if (index >= table.entries) {
            return "descriptor index beyond its table";
        }
        descriptor = read_descriptor(table.hva + DESCRIPTOR_SIZE * index);
        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0) {
            breach = enter_indirect(queue, &table, &descriptor);
            index = 0;
        } else {
            breach = virtqueue_chain_add(queue, chain, descriptor.gpa, descriptor.length,
                                         (descriptor.flags & DESCRIPTOR_WRITE) != 0);
            index = descriptor.next;
        }
        if (breach != NULL) {
            return breach;
        }
        if ((descriptor.flags & (DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT)) == 0) {
            return NULL;
        }
    }
}

static bool split_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    if (waiting(queue) == 0 && !rearm(queue)) {
        return false;
    }
    uint64_t slot = queue->next_available & (queue->size - 1);
    uint16_t head = guest_load16(queue->driver_ring + RING_ELEMENTS + AVAILABLE_ELEMENT * slot);
    const char *breach = walk(queue, head, chain);

    if (breach != NULL) {
        virtqueue_break(queue, breach);
    }
    return breach == NULL;
}

static void split_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                           uint32_t length)
{
    uint64_t slot = queue->next_used & (queue->size - 1);
    uint8_t *element = queue->device_ring + RING_ELEMENTS + USED_ELEMENT * slot;

    /* 2.7.8.1: the element, and the buffer before it, are there before idx says so (release). */
    guest_store32(element, chain->id);
    guest_store32(element + 4, length);
    guest_store16(queue->device_ring + RING_IDX, (uint16_t)(queue->next_used + 1));
}

static bool split_must_notify(struct virtqueue *queue, uint64_t completed)
{
    if ((queue->features & VIRTIO_FEATURE_EVENT_IDX) != 0) {
        /* 2.7.7.2: notify if used_event is one of the indices just written. */
        return (uint16_t)(queue->next_used - guest_load16(used_event(queue)) - 1) < completed;
    }
    return (guest_load16(queue->driver_ring + RING_FLAGS) & AVAILABLE_NO_INTERRUPT) == 0;
}

const struct virtqueue_ring virtqueue_split = {
    .start = split_start,
    .take = split_take,
    .complete = split_complete,
    .must_notify = split_must_notify,
};
