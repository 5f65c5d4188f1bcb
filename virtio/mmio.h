/* The virtio-mmio transport: virtio 1.3 and 1.4, 4.2, and its legacy interface. */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio/queue.h"
#include "vmm/bus.h"
#include "vmm/device_trace.h"
#include "vmm/irq_line.h"

/* Bytes of guest-physical space: the registers, then the configuration space from 0x100 on. */
#define VIRTIO_MMIO_SIZE   0x200U
#define VIRTIO_MMIO_CONFIG 0x100U

/* A device has a page to itself, so that it can be mapped; what lies past the above reads as 0. */
#define VIRTIO_MMIO_PAGE_SIZE 0x1000U

/* What a device type supplies; `device` is what virtio_mmio_init() was given. */
struct virtio_device_operations {
    /* The driver kicked queue `index`, which is ready, of a device in operation. Bounded work. */
    void (*queue_notified)(void *device, unsigned index);
    /* Queue `index` was taken away: forget every chain taken from it, do not complete them. */
    void (*queue_stopped)(void *device, unsigned index);
    /* The driver reset the device: back to the initial state, all queues forgotten. */
    void (*reset)(void *device);
    /*
     * The configuration space, `offset` from its start; NULL for a device that has none. Reads are
     * of aligned words and without side effects, writes of 1, 2, 4 or 8 bytes within the space.
     */
    uint32_t (*config_read)(void *device, uint32_t offset);
    void (*config_write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct virtio_mmio_counters {
    uint64_t notifies;   /* kicks, the ignored ones included */
    uint64_t interrupts; /* events signalled on the line */
    uint64_t resets;     /* by the driver */
    uint64_t breaches;   /* queues broken by the driver's fault */
};

/*
 * One device's transport. Calls for one device must not overlap: whoever runs several vCPUs of a
 * guest at once holds a lock of that guest around them.
 */
struct virtio_mmio {
    /* Set once. Nothing pointed to is owned. */
    uint32_t device_id;
    bool legacy;
    uint64_t offered;
    const struct virtio_device_operations *operations;
    void *device;
    struct virtqueue *queues;
    unsigned queue_count;
    struct irq_line irq;
    volatile uint32_t *page;
    struct device_trace *trace;

    /* The driver's side; zero after a reset. */
    uint32_t status;
    uint32_t interrupt_status;
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    uint64_t driver_features;
    bool features_beyond; /* the driver asked for a feature bit above 63 */
    bool config_changed;  /* and the driver could not be told so far */
    bool suspending;      /* asked for, and buffers still in flight */

    /* These stay. A legacy Linux writes its page size once, before it resets the device. */
    uint32_t guest_page_size;
    uint32_t config_generation;

    struct virtio_mmio_counters counters;
    const char *breach; /* the last rule the driver broke, for statistics; survives resets */
};

/* What virtio_mmio_init() needs to know of a device. */
struct virtio_mmio_setup {
    uint32_t device_id; /* virtio 1.3, 5 */
    uint64_t features;  /* to offer; those that the layout asks for are added or left out */
    bool legacy;        /* version 1 instead of 2: for drivers from before virtio 1.0 */
    const struct virtio_device_operations *operations;
    void *device;
    struct virtqueue *queues; /* each made by virtqueue_init() */
    unsigned queue_count;
    struct irq_line irq;
    /*
     * VIRTIO_MMIO_PAGE_SIZE bytes, zeroed and the device's alone, or NULL. They always hold what a
     * read through the bus yields, so that a guest which has them mapped read-only reads without an
     * exit; InterruptStatus is there before the line goes up.
     */
    volatile uint32_t *page;
    struct device_trace *trace; /* where events are recorded, or NULL */
};

/* Brings the transport into the state a driver finds after power-on. `setup` is copied. */
void virtio_mmio_init(struct virtio_mmio *mmio, const struct virtio_mmio_setup *setup);

/* What a read of the 32-bit register at `offset` (below 0x100) yields. Without side effects. */
uint32_t virtio_mmio_register(const struct virtio_mmio *mmio, uint32_t offset);

/*
 * Whether the device may touch its queues: DRIVER_OK is set, which it is not before the driver is
 * ready nor while suspended (a legacy driver need not set it), and the driver has not given up
 * (virtio 1.3, 2.1.2). A device that asked for a reset goes on as far as it can: what a driver that
 * knows of no DEVICE_NEEDS_RESET waits for may still come. A broken queue yields no buffers.
 */
bool virtio_mmio_running(const struct virtio_mmio *mmio);

/*
 * To be called after each spell of work on a queue of a device in operation: sends the used-buffer
 * notification if the driver wants one, and DEVICE_NEEDS_RESET if the queue broke; and ends a
 * suspension that waited for the last buffer in flight.
 */
void virtio_mmio_queue_done(struct virtio_mmio *mmio, struct virtqueue *queue);

/*
 * The device met an error that only a reset cures (virtio 1.3, 2.1.2): sets DEVICE_NEEDS_RESET and
 * sends a configuration change notification, now or as soon as DRIVER_OK is set.
 */
void virtio_mmio_needs_reset(struct virtio_mmio *mmio);

/*
 * The device changed its configuration space: ConfigGeneration moves on, and the driver is told as
 * soon as it may be.
 */
void virtio_mmio_config_changed(struct virtio_mmio *mmio);

/* For a bus range of VIRTIO_MMIO_PAGE_SIZE bytes whose device is a struct virtio_mmio. */
extern const struct bus_operations virtio_mmio_bus_operations;

#endif
