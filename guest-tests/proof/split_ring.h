/* After split.c, for its proof: its functions, called as queue.c does it, do what ring.h says. */
#define RING(function) called_##function
#define RING_FORMAT    (!queue_packed(queue))
#include "guest-tests/proof/ring.h"

void called_start(struct virtqueue *queue)
{
    //@ calls split_start;
    virtqueue_split.start(queue);
}

bool called_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    //@ calls split_take;
    return virtqueue_split.take(queue, chain);
}

void called_complete(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t length)
{
    //@ calls split_complete;
    virtqueue_split.complete(queue, chain, length);
}

bool called_must_notify(struct virtqueue *queue, uint64_t completed)
{
    //@ calls split_must_notify;
    return virtqueue_split.must_notify(queue, completed);
}
