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

#define DESCRIPTOR_SIZE 16ULL

#define DESCRIPTOR_NEXT     1U
#define DESCRIPTOR_WRITE    2U
#define DESCRIPTOR_INDIRECT 4U

/* virtio 1.3, 2.7.6 and 2.7.8: both rings are flags, idx, elements, then the other side's event. */
#define RING_FLAGS        0U
#define RING_IDX          2U
#define RING_ELEMENTS     4U
#define AVAILABLE_ELEMENT 2ULL
#define USED_ELEMENT      8ULL

#define AVAILABLE_NO_INTERRUPT 1U

/*@ requires queue_at_work(queue) && !queue_packed(queue);
    assigns \nothing;
    ensures \result == queue->device_ring + (4 + 8 * queue->size) &&
      \valid(\result + (0 .. 1)); */
static uint8_t *avail_event(const struct virtqueue *queue)
{
    return queue->device_ring + RING_ELEMENTS + USED_ELEMENT * queue->size;
}

/*@ requires queue_at_work(queue) && !queue_packed(queue);
    assigns \nothing;
    ensures \result == queue->driver_ring + (4 + 2 * queue->size) &&
      \valid_read(\result + (0 .. 1)); */
static const uint8_t *used_event(const struct virtqueue *queue)
{
    return queue->driver_ring + RING_ELEMENTS + AVAILABLE_ELEMENT * queue->size;
}

/* Which element of a ring a position is. The size divides 2^32. */
/*@ requires \valid_read(queue) && 0 < queue->size;
    assigns \nothing;
    ensures \result < queue->size; */
static uint32_t slot_of(const struct virtqueue *queue, uint64_t position)
{
    return (uint32_t)position % queue->size;
}

/*@ requires queue_made(queue) && !queue_packed(queue) && queue->breach == \null;
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
static void split_start(struct virtqueue *queue)
{
    /* virtio 1.3, 2.7: sizes and alignments of the three areas. The driver may not overlap them. */
    const struct virtqueue_area areas[3] = {
        {queue->descriptor_area, DESCRIPTOR_SIZE * queue->size, 16},
        {queue->driver_area, RING_ELEMENTS + AVAILABLE_ELEMENT * queue->size + 2, 2},
        {queue->device_area, RING_ELEMENTS + USED_ELEMENT * queue->size + 2, 4},
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

/*@ requires queue_at_work(queue) && !queue_packed(queue);
    assigns queue->breach, guest_loads;
    ensures kept: queue_at_work(queue);
    ensures guest_loads == \old(guest_loads) + 1;
    ensures \result <= queue->size && (\result > 0 ==> queue->breach == \old(queue->breach));
    ensures \old(queue->breach) != \null ==> queue->breach == \old(queue->breach); */
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

/*@ requires queue_at_work(queue) && !queue_packed(queue);
    assigns queue->breach, guest_loads, guest_stored,
            queue->device_ring[4 + 8 * queue->size .. 5 + 8 * queue->size];
    ensures kept: queue_at_work(queue);
    ensures guest_loads <= \old(guest_loads) + 1;
    ensures \result ==> queue->breach == \null; */
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

/* virtio 1.3, 2.7.5.3. The write flag of the descriptor that points to a table means nothing. */
/*@ requires queue_made(queue);
    assigns \nothing;
    ensures \result.breach == \null ==>
      !nested && \valid_read(\result.hva + (0 .. descriptor.length - 1)); */
static struct virtqueue_table indirect_table(const struct virtqueue *queue,
                                             struct descriptor descriptor, bool nested)
{
    struct virtqueue_table table = virtqueue_map_table(queue, descriptor.gpa, descriptor.length);

    if (table.breach == NULL && nested) {
        table.breach = "indirect descriptor inside an indirect table";
    } else if (table.breach == NULL && (descriptor.flags & DESCRIPTOR_NEXT) != 0) {
        table.breach = "indirect descriptor with a next one";
    }
    return table;
}

/*@ requires \valid_read(source + (0 .. 15));
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
static struct descriptor read_descriptor(const uint8_t *source)
{
    uint64_t words[2];

    guest_load_pair(source, words);
    return (struct descriptor){.gpa = words[0],
                               .length = (uint32_t)words[1],
                               .flags = (uint16_t)(words[1] >> 32),
                               .next = (uint16_t)(words[1] >> 48)};
}

/*@ requires queue_at_work(queue) && chain_apart(queue, chain) && chain_sound(queue, chain);
    requires chain->count == 0;
    assigns chain->id, chain->segments[0 .. 63], chain->count, chain->readable,
            chain->readable_length, chain->writable_length, guest_loads;
    ensures sound: chain_sound(queue, chain);
    ensures made: queue_made(queue);
    ensures mapped: queue_mapped(queue);
    ensures some: \result == \null ==> chain->count >= 1;
    ensures once: \result == \null ==>
      \old(guest_loads) + chain->count <= guest_loads <= \old(guest_loads) + chain->count + 1;
    ensures loads: guest_loads <= \old(guest_loads) + queue->size + 2; */
/*
 * Follows a chain from its head. Each turn adds a segment, of which there are at most as many as
 * the queue has entries, or enters the one indirect table: so a loop ends as too long a chain.
 */
static const char *walk(const struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain)
{
    struct virtqueue_table table = {.hva = queue->descriptors, .breach = NULL};
    uint32_t entries = queue->size;
    uint16_t index = head;
    bool indirect = false;
    bool last = false;

    chain->id = head;
    /*@ loop invariant made: queue_made(queue);
        loop invariant mapped: queue_mapped(queue);
        loop invariant table: \valid_read(table.hva + (0 .. 16 * entries - 1));
        loop invariant chain: chain_sound(queue, chain) && !last;
        loop invariant loads: guest_loads ==
          \at(guest_loads, LoopEntry) + chain->count + (indirect ? 1 : 0);
        loop assigns index, indirect, last, entries, table, guest_loads, chain->segments[0 .. 63],
                     chain->count, chain->readable, chain->readable_length, chain->writable_length;
        loop variant queue->size - chain->count + (indirect ? 0 : 1); */
    for (;;) {
        if (index >= entries) {
            return "descriptor index beyond its table";
        }
        struct descriptor descriptor = read_descriptor(table.hva + DESCRIPTOR_SIZE * index);

        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0) {
            table = indirect_table(queue, descriptor, indirect);
            entries = (uint32_t)(descriptor.length / DESCRIPTOR_SIZE);
            indirect = true;
            index = 0;
        } else {
            table.breach = virtqueue_chain_add(queue, chain, descriptor.gpa, descriptor.length,
                                               (descriptor.flags & DESCRIPTOR_WRITE) != 0);
            index = descriptor.next;
            last = (descriptor.flags & DESCRIPTOR_NEXT) == 0;
        }
        if (table.breach != NULL || last) {
            return table.breach;
        }
    }
}

/*@ requires queue_at_work(queue) && !queue_packed(queue) && queue->breach == \null;
    requires chain_apart(queue, chain) && chain_sound(queue, chain) && chain->count == 0;
    requires chain->slots == 1;
    assigns *chain, queue->breach, guest_loads, guest_stored,
            queue->device_ring[4 + 8 * queue->size .. 5 + 8 * queue->size];
    ensures made: queue_made(queue);
    ensures mapped: queue_mapped(queue);
    ensures taken: \result ==> chain_sound(queue, chain) && 1 <= chain->count &&
      chain->slots == 1 && queue->breach == \null;
    ensures loads: guest_loads <= \old(guest_loads) + queue->size + 5; */
static bool split_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    if (waiting(queue) == 0 && !rearm(queue)) {
        return false;
    }
    uint32_t slot = slot_of(queue, queue->next_available);
    uint16_t head = guest_load16(queue->driver_ring + RING_ELEMENTS + AVAILABLE_ELEMENT * slot);
    const char *breach = walk(queue, head, chain);

    if (breach != NULL) {
        virtqueue_break(queue, breach);
    }
    return breach == NULL;
}

/*@ requires queue_at_work(queue) && !queue_packed(queue);
    requires \valid_read(chain) && queue->next_used < UINT64_MAX;
    assigns queue->device_ring[2 .. 3 + 8 * queue->size], guest_stored;
    ensures guest_stored == (uint16_t)(queue->next_used + 1); */
static void split_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                           uint32_t length)
{
    uint32_t slot = slot_of(queue, queue->next_used);
    uint8_t *element = queue->device_ring + RING_ELEMENTS + USED_ELEMENT * slot;

    /* 2.7.8.1: the element, and the buffer before it, are there before idx says so (release). */
    guest_store32(element, chain->id);
    guest_store32(element + 4, length);
    guest_store16(queue->device_ring + RING_IDX, (uint16_t)(queue->next_used + 1));
}

/*@ requires queue_at_work(queue) && !queue_packed(queue);
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
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
