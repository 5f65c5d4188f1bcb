/* The packed virtqueue: virtio 1.3, 2.8. */
#ifndef VIRTIO_PACKED_H
#define VIRTIO_PACKED_H

#include "virtio/queue.h"

/*
 * The packed ring (VIRTIO_F_RING_PACKED) of any size up to the queue's maximum, with
 * VIRTIO_F_INDIRECT_DESC and VIRTIO_F_EVENT_IDX where the driver took them. Like the split one it
 * trusts nothing in guest memory.
 */
extern const struct virtqueue_ring virtqueue_packed;

#endif
