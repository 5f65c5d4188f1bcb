/* What all virtqueues have in common: configuration, the broken state, access to buffers. */
#include "virtio/queue.h"

#include <stddef.h>

void virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory, uint16_t size_max)
{
    *queue = (struct virtqueue){.memory = memory, .size_max = size_max, .size = size_max};
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
    ring->start(queue);
}

static bool working(const struct virtqueue *queue)
{
    return queue->ready && queue->breach == NULL;
}

bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    return working(queue) && queue->ring->take(queue, chain);
}

void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        uint32_t length)
{
    if (working(queue)) {
        queue->ring->complete(queue, chain, length);
    }
}

bool virtqueue_must_notify(struct virtqueue *queue)
{
    /* Completions before a breach still deserve their notification. */
    return queue->ready && queue->next_used != queue->notified_used &&
           queue->ring->must_notify(queue);
}

void virtqueue_break(struct virtqueue *queue, const char *breach)
{
    if (queue->breach == NULL) {
        queue->breach = breach;
    }
}

void *virtqueue_writable(const struct virtqueue *queue, const struct virtqueue_chain *chain,
                         uint64_t offset, uint32_t *length)
{
    for (unsigned i = chain->readable; i < chain->count; i++) {
        const struct virtqueue_segment *segment = &chain->segments[i];

        if (offset < segment->length) {
            *length = segment->length - (uint32_t)offset;
            return guest_memory_range(queue->memory, segment->gpa + offset, *length);
        }
        offset -= segment->length;
    }
    return NULL;
}
