/*
 * For the proofs: what queue.c expects of the functions in a struct virtqueue_ring. The proof of
 * queue.c assumes this; those of split.c and packed.c show it, for a queue that is of their format.
 * RING(function) is the function's name there, RING_FORMAT what the queue is.
 */
#include "virtio/queue.h"

/*@ requires queue_made(queue) && queue->breach == \null && RING_FORMAT;
    assigns queue->descriptors, queue->driver_ring, queue->device_ring, queue->breach,
            queue->memory->regions[0].hva[0 .. queue->memory->regions[0].size - 1],
            queue->memory->regions[1].hva[0 .. queue->memory->regions[1].size - 1], guest_stored;
    ensures queue->breach == \null ==> queue_mapped(queue); */
void RING(start)(struct virtqueue *queue);

/*@ requires queue_at_work(queue) && queue->breach == \null && RING_FORMAT;
    requires chain_apart(queue, chain) && chain_sound(queue, chain);
    requires chain->count == 0 && chain->slots == 1;
    assigns *chain, queue->breach, guest_loads, guest_stored,
            queue->device_ring[0 .. device_area_size(queue) - 1];
    ensures made: queue_made(queue);
    ensures mapped: queue_mapped(queue);
    ensures taken: \result ==> chain_sound(queue, chain) && 1 <= chain->count &&
      1 <= chain->slots <= queue->size && queue->breach == \null;
    ensures loads: guest_loads <= \old(guest_loads) + 4 * queue->size + 5; */
bool RING(take)(struct virtqueue *queue, struct virtqueue_chain *chain);

/*@ requires queue_at_work(queue) && \valid_read(chain) && queue->next_used < UINT64_MAX;
    requires RING_FORMAT;
    assigns queue->descriptors[0 .. 16 * queue->size - 1],
            queue->device_ring[0 .. device_area_size(queue) - 1], guest_stored; */
void RING(complete)(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t length);

/*@ requires queue_at_work(queue) && RING_FORMAT;
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
bool RING(must_notify)(struct virtqueue *queue, uint64_t completed);
