/* The split virtqueue: virtio 1.3, 2.7. */
#ifndef VIRTIO_SPLIT_H
#define VIRTIO_SPLIT_H

#include "virtio/queue.h"

/*
 * The split ring, with VIRTIO_F_INDIRECT_DESC and VIRTIO_F_EVENT_IDX where the driver took them. It
 * trusts nothing in guest memory: every field is read once and checked, and each breach of the
 * driver's duties breaks the queue with the duty's name.
 */
extern const struct virtqueue_ring virtqueue_split;

#endif
