/* A bus: which device answers at which address. One kind serves MMIO and ports alike. */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_RANGES 16

/*
 * What a device offers on a bus. `offset` counts from the start of the range, `size` is 1, 2, 4 or
 * 8 bytes and the access never runs past the range. Values are zero-extended to 64 bits.
 */
struct bus_operations {
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct bus_range {
    uint64_t base;
    uint64_t size;
    const struct bus_operations *operations;
    void *device; /* not owned */
};

struct bus {
    struct bus_range ranges[BUS_RANGES];
    unsigned count;
};

/* Claims [base, base + size) for a device. False if full, empty, wrapping or overlapping. */
bool bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct bus_operations *operations,
             void *device);

/*
 * One access. False if no device claims all of it: the caller answers as its machine would (all
 * ones for a read).
 */
bool bus_read(const struct bus *bus, uint64_t address, unsigned size, uint64_t *value);
bool bus_write(const struct bus *bus, uint64_t address, unsigned size, uint64_t value);

#endif
