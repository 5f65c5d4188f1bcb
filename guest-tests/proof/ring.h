/*
 * For the proof of queue.c: what it may expect of a ring format. Both keep to this: the contracts
 * in split.c and packed.c are at least as strong.
 */
#ifndef GUEST_TESTS_PROOF_RING_H
#define GUEST_TESTS_PROOF_RING_H

#include "virtio/queue.h"

/*@ requires queue_made(queue) && queue->breach == \null;
    assigns queue->descriptors, queue->driver_ring, queue->device_ring, queue->breach,
            queue->memory->regions[0].hva[0 .. queue->memory->regions[0].size - 1],
            queue->memory->regions[1].hva[0 .. queue->memory->regions[1].size - 1], guest_stored;
    ensures queue->breach == \null ==> queue_mapped(queue); */
void ring_start(struct virtqueue *queue);

/*@ requires queue_at_work(queue) && queue->breach == \null;
    requires chain_apart(queue, chain) && chain_sound(queue, chain);
    requires chain->count == 0 && chain->slots == 1;
    assigns *chain, queue->breach, guest_loads, guest_stored,
            queue->device_ring[0 .. device_area_size(queue) - 1];
    ensures \result ==> chain_sound(queue, chain) && 1 <= chain->count &&
      1 <= chain->slots <= queue->size && queue->breach == \null;
    ensures guest_loads <= \old(guest_loads) + 4 * queue->size + 5; */
bool ring_take(struct virtqueue *queue, struct virtqueue_chain *chain);

/*@ requires queue_at_work(queue) && \valid_read(chain) && queue->next_used < UINT64_MAX;
    assigns queue->descriptors[0 .. 16 * queue->size - 1],
            queue->device_ring[0 .. device_area_size(queue) - 1], guest_stored; */
void ring_complete(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t length);

/*@ requires queue_at_work(queue);
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
bool ring_must_notify(struct virtqueue *queue, uint64_t completed);

#endif
