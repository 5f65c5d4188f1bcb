/*
 * A virtio-mmio driver for tests, written from the driver's side of virtio 1.3 (2.7 and 4.2), with
 * its own constants, so that it cannot share a mistake with the device.
 */
#ifndef GUEST_TESTS_HOST_VIRTIO_DRIVER_H
#define GUEST_TESTS_HOST_VIRTIO_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/bus.h"
#include "vmm/guest_memory.h"
#include "vmm/irq_line.h"

/* Where the tests' guest has its RAM and the device its registers. */
#define LOW_RAM     0x10000ULL
#define LOW_SIZE    0x40000ULL
#define HIGH_RAM    0x100000000ULL
#define HIGH_SIZE   0x10000ULL
#define REGISTERS   0xd0000000ULL
#define DESC_AREA   0x10000ULL
#define AVAIL_AREA  0x11000ULL
#define USED_AREA   0x12000ULL
#define TABLE_AREA  0x13000ULL /* for indirect tables */
#define BUFFER_AREA 0x20000ULL

#define F_INDIRECT  (1ULL << 28)
#define F_EVENT_IDX (1ULL << 29)
#define F_VERSION_1 (1ULL << 32)

#define D_NEXT     1
#define D_WRITE    2
#define D_INDIRECT 4

/* The wire the device pulls, and what it looked like at each rising edge. */
struct wire {
    bool level;
    unsigned edges;
    struct driver *driver;
    uint32_t status_at_edge;
};

struct driver {
    struct guest_memory memory;
    struct bus bus;
    struct wire wire;
    struct irq_line irq;
    const uint32_t *page; /* the registers as the guest has them mapped, if it has */
    uint8_t *low;
    uint8_t *high;
    uint16_t size;
    uint64_t features;
    uint16_t avail_idx;
    uint16_t last_used;
};

static inline uint8_t *ram(struct driver *driver, uint64_t gpa)
{
    if (gpa >= HIGH_RAM) {
        return driver->high + (gpa - HIGH_RAM);
    }
    return driver->low + (gpa - LOW_RAM);
}

static inline uint16_t peek16(struct driver *driver, uint64_t gpa)
{
    uint16_t value;

    memcpy(&value, ram(driver, gpa), sizeof(value));
    return value;
}

static inline uint32_t peek32(struct driver *driver, uint64_t gpa)
{
    uint32_t value;

    memcpy(&value, ram(driver, gpa), sizeof(value));
    return value;
}

static inline void poke16(struct driver *driver, uint64_t gpa, uint16_t value)
{
    memcpy(ram(driver, gpa), &value, sizeof(value));
}

static inline uint32_t reg(struct driver *driver, uint32_t offset)
{
    uint64_t value = ~0ULL;

    assert_true(bus_read(&driver->bus, REGISTERS + offset, 4, &value));
    assert_true(value <= UINT32_MAX);
    if (driver->page != NULL) {
        assert_int_equal(driver->page[offset / 4], value);
    }
    return (uint32_t)value;
}

static inline void set_reg(struct driver *driver, uint32_t offset, uint32_t value)
{
    assert_true(bus_write(&driver->bus, REGISTERS + offset, 4, value));
}

static inline void wire_set(void *controller, unsigned pin, bool asserted)
{
    struct wire *wire = controller;

    assert_int_equal(pin, 16);
    if (asserted && !wire->level) {
        wire->edges++;
        wire->status_at_edge = reg(wire->driver, 0x060);
        for (uint32_t offset = 0; offset < 0x100; offset += 4) {
            reg(wire->driver, offset); /* a driver that is interrupted finds the page complete */
        }
    }
    wire->level = asserted;
}

/* RAM in heap blocks of its exact size, so that the address sanitizer sees a byte beyond it. */
static inline void driver_init(struct driver *driver)
{
    memset(driver, 0, sizeof(*driver));
    driver->low = calloc(1, LOW_SIZE);
    driver->high = calloc(1, HIGH_SIZE);
    assert_non_null(driver->low);
    assert_non_null(driver->high);
    assert_true(guest_memory_add(&driver->memory, LOW_RAM, LOW_SIZE, driver->low));
    assert_true(guest_memory_add(&driver->memory, HIGH_RAM, HIGH_SIZE, driver->high));
    driver->wire.driver = driver;
    driver->irq = (struct irq_line){.set = wire_set, .controller = &driver->wire, .pin = 16};
}

static inline void driver_free(struct driver *driver)
{
    free(driver->low);
    free(driver->high);
}

/* virtio 1.3, 3.1.1, steps 1 to 6. Returns the status read back. */
static inline uint32_t negotiate(struct driver *driver, uint64_t features)
{
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x070), 0);
    set_reg(driver, 0x070, 1);
    set_reg(driver, 0x070, 1 | 2);
    set_reg(driver, 0x024, 0);
    set_reg(driver, 0x020, (uint32_t)features);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, (uint32_t)(features >> 32));
    set_reg(driver, 0x070, 1 | 2 | 8);
    driver->features = features;
    return reg(driver, 0x070);
}

static inline void set_queue_addresses(struct driver *driver, uint64_t desc, uint64_t avail,
                                       uint64_t used)
{
    set_reg(driver, 0x080, (uint32_t)desc);
    set_reg(driver, 0x084, (uint32_t)(desc >> 32));
    set_reg(driver, 0x090, (uint32_t)avail);
    set_reg(driver, 0x094, (uint32_t)(avail >> 32));
    set_reg(driver, 0x0a0, (uint32_t)used);
    set_reg(driver, 0x0a4, (uint32_t)(used >> 32));
}

/* 4.2.3.2: configures queue 0. The areas are cleared first, as a driver does. */
static inline void set_up_queue(struct driver *driver, uint16_t size)
{
    memset(ram(driver, DESC_AREA), 0, 0x3000);
    driver->size = size;
    driver->avail_idx = 0;
    driver->last_used = 0;
    set_reg(driver, 0x030, 0);
    assert_int_equal(reg(driver, 0x044), 0);
    assert_true(reg(driver, 0x034) >= size);
    set_reg(driver, 0x038, size);
    set_queue_addresses(driver, DESC_AREA, AVAIL_AREA, USED_AREA);
    set_reg(driver, 0x044, 1);
    assert_int_equal(reg(driver, 0x044), 1);
}

static inline void bring_up(struct driver *driver, uint64_t features, uint16_t size)
{
    assert_int_equal(negotiate(driver, features), 1 | 2 | 8);
    set_up_queue(driver, size);
    set_reg(driver, 0x070, 1 | 2 | 8 | 4);
}

static inline void set_descriptor(struct driver *driver, uint64_t table, unsigned index,
                                  uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next)
{
    uint8_t *descriptor = ram(driver, table + 16ULL * index);

    memcpy(descriptor, &gpa, 8);
    memcpy(descriptor + 8, &length, 4);
    memcpy(descriptor + 12, &flags, 2);
    memcpy(descriptor + 14, &next, 2);
}

static inline void describe(struct driver *driver, unsigned index, uint64_t gpa, uint32_t length,
                            uint16_t flags, uint16_t next)
{
    set_descriptor(driver, DESC_AREA, index, gpa, length, flags, next);
}

/* 2.7.13: the head into the ring, then idx. */
static inline void make_available(struct driver *driver, uint16_t head)
{
    poke16(driver, AVAIL_AREA + 4 + 2ULL * (driver->avail_idx % driver->size), head);
    driver->avail_idx++;
    poke16(driver, AVAIL_AREA + 2, driver->avail_idx);
}

static inline void kick(struct driver *driver)
{
    set_reg(driver, 0x050, 0);
}

/* One writable buffer of one descriptor. */
static inline void add_buffer(struct driver *driver, uint16_t index, uint64_t gpa, uint32_t length)
{
    describe(driver, index, gpa, length, D_WRITE, 0);
    make_available(driver, index);
}

static inline uint16_t used_idx(struct driver *driver)
{
    return peek16(driver, USED_AREA + 2);
}

/* The next used element; false if there is none. */
static inline bool get_used(struct driver *driver, uint32_t *id, uint32_t *length)
{
    if (used_idx(driver) == driver->last_used) {
        return false;
    }
    uint64_t element = USED_AREA + 4 + 8ULL * (driver->last_used % driver->size);

    *id = peek32(driver, element);
    *length = peek32(driver, element + 4);
    driver->last_used++;
    return true;
}

static inline void set_no_interrupt(struct driver *driver, uint16_t flags)
{
    poke16(driver, AVAIL_AREA, flags);
}

static inline void set_used_event(struct driver *driver, uint16_t event)
{
    poke16(driver, AVAIL_AREA + 4 + 2ULL * driver->size, event);
}

static inline uint16_t avail_event(struct driver *driver)
{
    return peek16(driver, USED_AREA + 4 + 8ULL * driver->size);
}

#endif
