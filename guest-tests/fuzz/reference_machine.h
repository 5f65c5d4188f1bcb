/*
 * The machine in which the device is held against the reference model, and what happens in it: each
 * step is done to both.
 */
#ifndef GUEST_TESTS_FUZZ_REFERENCE_MACHINE_H
#define GUEST_TESTS_FUZZ_REFERENCE_MACHINE_H

#include "guest-tests/fuzz/input.h"
#include "guest-tests/fuzz/model.h"
#include "virtio/mmio.h"
#include "virtio/virtio.h"
#include "vmm/bus.h"

/* Where the device's registers are. */
#define REGISTERS 0xd0000000ULL

/* How many features a device may offer but VERSION_1, for which see virtio/mmio.h. */
#define OPTIONAL 7U

struct machine {
    struct model *model;
    struct guest_memory memory;
    struct bus bus;
    struct virtio_mmio transport;
    struct virtqueue queue;
    uint8_t *ram;
    uint32_t page[VIRTIO_MMIO_PAGE_SIZE / 4];
    uint8_t config[MODEL_CONFIG_SIZE];
    unsigned held_count;
    bool hold;
    uint32_t limit;
    uint8_t pattern;
    bool line;
    unsigned edges;
    struct virtqueue_chain held[MODEL_HELD_MAX]; /* last: the only part not cleared at a start */
};

/* The optional features that are named by the bits of `choice`. */
uint64_t features_of(uint64_t choice);

/* Starts the device and its model; `choice` says which features are not offered, and the layout. */
void device_start(struct machine *machine, uint8_t *ram, struct model *model, uint64_t choice);

/* A step takes what it needs from the input. */
typedef void step(struct machine *machine, struct input *input);

/* What the driver does. */
step driver_write_register, driver_write_small, driver_access_odd, driver_poke, driver_describe,
    driver_describe_packed, driver_describe_table, driver_make_available, driver_set_event,
    driver_bring_up, driver_kick, driver_post, driver_move_area;

/* What the device type does of itself. */
step device_set_policy, device_use_held, device_change_config, device_fail;

#endif
