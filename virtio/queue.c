/* What all virtqueues have in common: configuration, the broken state, access to buffers. */
#include "virtio/queue.h"

#include <stddef.h>

#include "virtio/virtio.h"

/* virtio 1.3, 2.7.5: a chain may not hold more bytes than this. */
#define CHAIN_LENGTH_MAX (UINT64_C(1) << 32)

#define DESCRIPTOR_SIZE 16U

void virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory, uint16_t size_max)
{
    *queue = (struct virtqueue){.memory = memory, .size_max = size_max, .size = size_max};
    //@ assert kept: guest_memory_sound(memory);
    //@ assert set: queue_of(queue, memory, size_max);
}

void virtqueue_reset(struct virtqueue *queue)
{
    virtqueue_init(queue, queue->memory, queue->size_max);
}

void virtqueue_start(struct virtqueue *queue, const struct virtqueue_ring *ring, uint64_t features)
{
    queue->ready = true;
    queue->ring = ring;
    queue->features = features;
    queue->next_available = 0;
    queue->next_used = 0;
    queue->notified_used = 0;
    queue->breach = NULL;
    //@ admit ring->start == &ring_start;
    //@ calls ring_start;
    ring->start(queue);
}

/*@ requires \valid_read(queue);
    assigns \nothing;
    ensures \result <==> queue->ready && queue->breach == \null; */
static bool working(const struct virtqueue *queue)
{
    return queue->ready && queue->breach == NULL;
}

bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    if (!working(queue) || queue->paused) {
        return false;
    }
    chain->position = queue->next_available;
    chain->slots = 1;
    chain->readable = 0;
    chain->count = 0;
    chain->readable_length = 0;
    chain->writable_length = 0;
    bool taken;

    //@ admit queue->ring->take == &ring_take;
    //@ calls ring_take;
    taken = queue->ring->take(queue, chain);
    if (!taken) {
        return false;
    }
    queue->next_available += chain->slots;
    //@ assert made: queue_made(queue);
    //@ assert descriptors: ram_bytes(queue->memory, queue->descriptors, 16 * queue->size);
    //@ assert driver: ram_bytes(queue->memory, queue->driver_ring, driver_area_size(queue));
    //@ assert device: ram_bytes(queue->memory, queue->device_ring, device_area_size(queue));
    //@ assert mapped: queue_mapped(queue);
    //@ assert sound: chain_sound(queue, chain);
    return true;
}

void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        uint32_t length)
{
    if (!working(queue)) {
        return;
    }
    if ((queue->features & VIRTIO_FEATURE_IN_ORDER) != 0 && chain->position != queue->next_used) {
        virtqueue_break(queue, "buffer completed out of order by the device");
        return;
    }
    //@ admit queue->ring->complete == &ring_complete;
    //@ calls ring_complete;
    queue->ring->complete(queue, chain, length);
    queue->next_used += chain->slots;
}

bool virtqueue_must_notify(struct virtqueue *queue)
{
    uint64_t completed = queue->next_used - queue->notified_used;

    queue->notified_used = queue->next_used;
    /* Completions before a breach still deserve their notification. */
    if (!queue->ready || completed == 0) {
        return false;
    }
    /* The driver may have asked for a notification and then looked before we completed. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    //@ admit queue->ring->must_notify == &ring_must_notify;
    //@ calls ring_must_notify;
    return queue->ring->must_notify(queue, completed);
}

bool virtqueue_in_flight(const struct virtqueue *queue)
{
    return working(queue) && queue->next_available != queue->next_used;
}

void virtqueue_break(struct virtqueue *queue, const char *breach)
{
    if (queue->breach == NULL) {
        queue->breach = breach;
    }
}

uint8_t *virtqueue_writable(const struct virtqueue_chain *chain, uint64_t offset, uint32_t *length)
{
    /*@ loop invariant chain->readable <= i <= chain->count;
        loop assigns i, offset;
        loop variant chain->count - i; */
    for (unsigned i = chain->readable; i < chain->count; i++) {
        const struct virtqueue_segment *segment = &chain->segments[i];

        if (offset < segment->length) {
            *length = segment->length - (uint32_t)offset;
            return segment->hva + offset;
        }
        offset -= segment->length;
    }
    return NULL;
}

const char *virtqueue_map_areas(struct virtqueue *queue, const struct virtqueue_area areas[3])
{
    uint8_t *hva[3];

    /*@ loop invariant 0 <= i <= 3;
        loop invariant \forall integer k; 0 <= k < i ==>
          guest_ram(queue->memory, areas[k].gpa, areas[k].size, hva[k]) &&
          \valid(hva[k] + (0 .. areas[k].size - 1)) && areas[k].gpa % areas[k].alignment == 0;
        loop invariant \forall integer k, l; 0 <= l < k < i ==>
          areas[k].gpa + areas[k].size <= areas[l].gpa ||
          areas[l].gpa + areas[l].size <= areas[k].gpa;
        loop assigns i, hva[0 .. 2];
        loop variant 3 - i; */
    for (unsigned i = 0; i < 3; i++) {
        if (areas[i].gpa % areas[i].alignment != 0) {
            return "misaligned ring address";
        }
        hva[i] = guest_memory_range(queue->memory, areas[i].gpa, areas[i].size);
        if (hva[i] == NULL) {
            return "ring outside guest memory";
        }
        /*@ loop invariant 0 <= j <= i;
            loop invariant \forall integer l; 0 <= l < j ==>
              areas[i].gpa + areas[i].size <= areas[l].gpa ||
              areas[l].gpa + areas[l].size <= areas[i].gpa;
            loop assigns j;
            loop variant i - j; */
        for (unsigned j = 0; j < i; j++) {
            if (areas[i].gpa < areas[j].gpa + areas[j].size &&
                areas[j].gpa < areas[i].gpa + areas[i].size) {
                return "overlapping rings";
            }
        }
    }
    queue->descriptors = hva[0];
    queue->driver_ring = hva[1];
    queue->device_ring = hva[2];
    return NULL;
}

struct virtqueue_table virtqueue_map_table(const struct virtqueue *queue, uint64_t gpa,
                                           uint32_t length)
{
    struct virtqueue_table table = {.hva = NULL, .breach = NULL};

    if ((queue->features & VIRTIO_FEATURE_INDIRECT_DESC) == 0) {
        table.breach = "indirect descriptor without the feature";
    } else if (length == 0 || length % DESCRIPTOR_SIZE != 0) {
        table.breach = "indirect table of a length that is no multiple of 16";
    } else {
        table.hva = guest_memory_range(queue->memory, gpa, length);
        if (table.hva == NULL) {
            table.breach = "indirect table outside guest memory";
        }
    }
    return table;
}

const char *virtqueue_chain_add(const struct virtqueue *queue, struct virtqueue_chain *chain,
                                uint64_t gpa, uint32_t length, bool writable)
{
    if (chain->count == queue->size) {
        return "chain longer than the queue";
    }
    if (length == 0) {
        return "descriptor of length 0";
    }
    uint8_t *hva = guest_memory_range(queue->memory, gpa, length);

    if (hva == NULL) {
        return "buffer outside guest memory";
    }
    if (!writable && chain->count > chain->readable) {
        return "device-readable descriptor after a device-writable one";
    }
    if (chain->readable_length + chain->writable_length + length > CHAIN_LENGTH_MAX) {
        return "chain of more than 2^32 bytes";
    }
    chain->segments[chain->count] = (struct virtqueue_segment){.hva = hva, .length = length};
    chain->count++;
    if (writable) {
        chain->writable_length += length;
    } else {
        chain->readable++;
        chain->readable_length += length;
    }
    return NULL;
}
