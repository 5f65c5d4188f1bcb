/* The split virtqueue of virtio 1.3, 2.7, seen from the device, with a hostile driver. */
#include "virtio/split.h"

#include <stddef.h>

#include "virtio/virtio.h"

/* virtio 1.3, 2.7.5: the descriptor as it lies in memory. */
struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

#define DESCRIPTOR_NEXT     1U
#define DESCRIPTOR_WRITE    2U
#define DESCRIPTOR_INDIRECT 4U

/* virtio 1.3, 2.7.5: a chain may not hold more bytes than this. */
#define CHAIN_LENGTH_MAX (UINT64_C(1) << 32)

/* virtio 1.3, 2.7.6 and 2.7.8: both rings are flags, idx, elements, then the other side's event. */
#define RING_FLAGS        0U
#define RING_IDX          2U
#define RING_ELEMENTS     4U
#define AVAILABLE_ELEMENT 2U
#define USED_ELEMENT      8U

#define AVAILABLE_NO_INTERRUPT 1U

static const char outside_memory[] = "ring outside guest memory";

static uint64_t avail_event_address(const struct virtqueue *queue)
{
    return queue->device_area + RING_ELEMENTS + (uint64_t)USED_ELEMENT * queue->size;
}

static uint64_t used_event_address(const struct virtqueue *queue)
{
    return queue->driver_area + RING_ELEMENTS + (uint64_t)AVAILABLE_ELEMENT * queue->size;
}

/* virtio 1.3, 2.7: sizes and alignments of the three areas. The driver may not overlap them. */
static const char *check_areas(const struct virtqueue *queue)
{
    const struct {
        uint64_t gpa;
        uint64_t size;
        uint64_t alignment;
    } areas[] = {
        {queue->descriptor_area, sizeof(struct descriptor) * queue->size, 16},
        {queue->driver_area, RING_ELEMENTS + AVAILABLE_ELEMENT * queue->size + 2, 2},
        {queue->device_area, RING_ELEMENTS + USED_ELEMENT * queue->size + 2, 4},
    };

    for (unsigned i = 0; i < 3; i++) {
        if (areas[i].gpa % areas[i].alignment != 0) {
            return "misaligned ring address";
        }
        if (guest_memory_range(queue->memory, areas[i].gpa, areas[i].size) == NULL) {
            return outside_memory;
        }
        for (unsigned j = 0; j < i; j++) {
            if (areas[i].gpa < areas[j].gpa + areas[j].size &&
                areas[j].gpa < areas[i].gpa + areas[i].size) {
                return "overlapping rings";
            }
        }
    }
    return NULL;
}

static void split_start(struct virtqueue *queue)
{
    const char *breach = NULL;

    if (queue->size == 0 || queue->size > queue->size_max ||
        (queue->size & (queue->size - 1)) != 0) {
        breach = "queue size not a power of two up to the maximum";
    } else {
        breach = check_areas(queue);
    }
    if (breach != NULL) {
        virtqueue_break(queue, breach);
        return;
    }
    /* 2.7.10.1: flags is 0 or 1 without EVENT_IDX and 0 with it, whatever the driver left there. */
    guest_memory_store16(queue->memory, queue->device_area + RING_FLAGS, 0);
}

/* How many buffers wait; 0 also when the queue turns out broken. */
static uint16_t waiting(struct virtqueue *queue)
{
    uint16_t idx;

    if (!guest_memory_load16(queue->memory, queue->driver_area + RING_IDX, &idx)) {
        virtqueue_break(queue, outside_memory);
        return 0;
    }
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
    guest_memory_store16(queue->memory, avail_event_address(queue), queue->next_available);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return waiting(queue) > 0;
}

static const char *add_segment(const struct virtqueue *queue, struct virtqueue_chain *chain,
                               const struct descriptor *descriptor)
{
    bool writable = (descriptor->flags & DESCRIPTOR_WRITE) != 0;

    if (chain->count == queue->size) {
        return "chain longer than the queue";
    }
    if (descriptor->length == 0) {
        return "descriptor of length 0";
    }
    if (guest_memory_range(queue->memory, descriptor->gpa, descriptor->length) == NULL) {
        return "buffer outside guest memory";
    }
    if (!writable && chain->count > chain->readable) {
        return "device-readable descriptor after a device-writable one";
    }
    if (chain->readable_length + chain->writable_length + descriptor->length > CHAIN_LENGTH_MAX) {
        return "chain of more than 2^32 bytes";
    }
    chain->segments[chain->count] =
        (struct virtqueue_segment){.gpa = descriptor->gpa, .length = descriptor->length};
    chain->count++;
    if (writable) {
        chain->writable_length += descriptor->length;
    } else {
        chain->readable++;
        chain->readable_length += descriptor->length;
    }
    return NULL;
}

/* The table a walk is in: the queue's own or, below one descriptor of it, an indirect one. */
struct table {
    uint64_t gpa;
    uint32_t entries;
    bool indirect;
};

/* virtio 1.3, 2.7.5.3. The write flag of the descriptor that points to a table means nothing. */
static const char *enter_indirect(const struct virtqueue *queue, struct table *table,
                                  const struct descriptor *descriptor)
{
    if ((queue->features & VIRTIO_FEATURE_INDIRECT_DESC) == 0) {
        return "indirect descriptor without the feature";
    }
    if (table->indirect) {
        return "indirect descriptor inside an indirect table";
    }
    if ((descriptor->flags & DESCRIPTOR_NEXT) != 0) {
        return "indirect descriptor with a next one";
    }
    if (descriptor->length == 0 || descriptor->length % sizeof(struct descriptor) != 0) {
        return "indirect table of a length that is no multiple of 16";
    }
    if (guest_memory_range(queue->memory, descriptor->gpa, descriptor->length) == NULL) {
        return "indirect table outside guest memory";
    }
    *table = (struct table){.gpa = descriptor->gpa,
                            .entries = descriptor->length / (uint32_t)sizeof(struct descriptor),
                            .indirect = true};
    return NULL;
}

/*
 * Follows a chain from its head. Each turn adds a segment, of which there are at most as many as
 * the queue has entries, or enters the one indirect table: so a loop ends as too long a chain.
 */
static const char *walk(const struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain)
{
    struct table table = {.gpa = queue->descriptor_area, .entries = queue->size};
    struct descriptor descriptor;
    const char *breach = NULL;
    uint16_t index = head;

    *chain = (struct virtqueue_chain){.id = head};
    for (;;) {
        if (index >= table.entries) {
            return "descriptor index beyond its table";
        }
        if (!guest_memory_read(queue->memory, table.gpa + sizeof(descriptor) * index, &descriptor,
                               sizeof(descriptor))) {
            return outside_memory;
        }
        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0) {
            breach = enter_indirect(queue, &table, &descriptor);
            index = 0;
        } else {
            breach = add_segment(queue, chain, &descriptor);
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
    uint16_t head;

    if (waiting(queue) == 0 && !rearm(queue)) {
        return false;
    }
    uint64_t slot = queue->next_available & (queue->size - 1);
    uint64_t element = queue->driver_area + RING_ELEMENTS + AVAILABLE_ELEMENT * slot;

    if (!guest_memory_load16(queue->memory, element, &head)) {
        virtqueue_break(queue, outside_memory);
        return false;
    }
    const char *breach = walk(queue, head, chain);

    if (breach != NULL) {
        virtqueue_break(queue, breach);
        return false;
    }
    queue->next_available++;
    return true;
}

static void split_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                           uint32_t length)
{
    uint64_t slot = queue->next_used & (queue->size - 1);
    uint64_t element = queue->device_area + RING_ELEMENTS + USED_ELEMENT * slot;

    queue->next_used++;
    /* 2.7.8.1: the element, and the buffer before it, are there before idx says so (release). */
    if (!guest_memory_store32(queue->memory, element, chain->id) ||
        !guest_memory_store32(queue->memory, element + 4, length) ||
        !guest_memory_store16(queue->memory, queue->device_area + RING_IDX, queue->next_used)) {
        virtqueue_break(queue, outside_memory);
    }
}

static bool split_must_notify(struct virtqueue *queue)
{
    uint16_t before = queue->notified_used;
    uint16_t now = queue->next_used;
    uint16_t event;
    uint16_t flags;

    queue->notified_used = now;
    /* The driver may have asked for a notification and then looked at idx before we moved it. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((queue->features & VIRTIO_FEATURE_EVENT_IDX) != 0) {
        /* 2.7.7.2: notify if used_event is one of the indices just written. */
        return guest_memory_load16(queue->memory, used_event_address(queue), &event) &&
               (uint16_t)(now - event - 1) < (uint16_t)(now - before);
    }
    return guest_memory_load16(queue->memory, queue->driver_area + RING_FLAGS, &flags) &&
           (flags & AVAILABLE_NO_INTERRUPT) == 0;
}

const struct virtqueue_ring virtqueue_split = {
    .start = split_start,
    .take = split_take,
    .complete = split_complete,
    .must_notify = split_must_notify,
};
