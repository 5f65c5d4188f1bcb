/* The numbers of the virtio standard that devices, rings and transports share. */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include <stdint.h>

/* Device status bits: virtio 1.3, 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 1U
#define VIRTIO_STATUS_DRIVER      2U
#define VIRTIO_STATUS_DRIVER_OK   4U
#define VIRTIO_STATUS_FEATURES_OK 8U
#define VIRTIO_STATUS_SUSPEND     16U /* virtio 1.4 */
#define VIRTIO_STATUS_NEEDS_RESET 64U
#define VIRTIO_STATUS_FAILED      128U

/* Feature bits, as masks: virtio 1.3, 6. */
#define VIRTIO_FEATURE_ANY_LAYOUT        (UINT64_C(1) << 27) /* legacy only */
#define VIRTIO_FEATURE_INDIRECT_DESC     (UINT64_C(1) << 28)
#define VIRTIO_FEATURE_EVENT_IDX         (UINT64_C(1) << 29)
#define VIRTIO_FEATURE_VERSION_1         (UINT64_C(1) << 32)
#define VIRTIO_FEATURE_RING_PACKED       (UINT64_C(1) << 34)
#define VIRTIO_FEATURE_IN_ORDER          (UINT64_C(1) << 35)
#define VIRTIO_FEATURE_NOTIFICATION_DATA (UINT64_C(1) << 38)
#define VIRTIO_FEATURE_RING_RESET        (UINT64_C(1) << 40)
#define VIRTIO_FEATURE_SUSPEND           (UINT64_C(1) << 43) /* virtio 1.4 */

/* Device types: virtio 1.3, 5. */
#define VIRTIO_DEVICE_ENTROPY 4U

#endif
