/* After packed.c, for its proof: its functions, called as queue.c does it, do what ring.h says. */
#define RING(function) called_##function
#define RING_FORMAT    queue_packed(queue)
#include "guest-tests/proof/ring.h"

void called_start(struct virtqueue *queue)
{
    //@ calls packed_start;
    virtqueue_packed.start(queue);
}

bool called_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    //@ calls packed_take;
    return virtqueue_packed.take(queue, chain);
}

void called_complete(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t length)
{
    //@ calls packed_complete;
    virtqueue_packed.complete(queue, chain, length);
}

bool called_must_notify(struct virtqueue *queue, uint64_t completed)
{
    //@ calls packed_must_notify;
    return virtqueue_packed.must_notify(queue, completed);
}
