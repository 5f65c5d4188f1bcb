/* A bus: finds the device that claims an address. A handful of ranges, so a scan is enough. */
#include "vmm/bus.h"

#include <stddef.h>

bool bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct bus_operations *operations,
             void *device)
{
    if (bus->count == BUS_RANGES || size == 0 || base + size < base) {
        return false;
    }
    for (unsigned i = 0; i < bus->count; i++) {
        const struct bus_range *range = &bus->ranges[i];

        if (base < range->base + range->size && range->base < base + size) {
            return false;
        }
    }
    bus->ranges[bus->count] = (struct bus_range){base, size, operations, device};
    bus->count++;
    return true;
}

static const struct bus_range *find(const struct bus *bus, uint64_t address, unsigned size)
{
    const struct bus_range *end = bus->ranges + bus->count;

    for (const struct bus_range *range = bus->ranges; range < end; range++) {
        uint64_t offset = address - range->base; /* beyond the size if the address is below */

        if (offset < range->size && size <= range->size - offset) {
            return range;
        }
    }
    return NULL;
}

bool bus_read(const struct bus *bus, uint64_t address, unsigned size, uint64_t *value)
{
    const struct bus_range *range = find(bus, address, size);

    if (range == NULL) {
        return false;
    }
    *value = range->operations->read(range->device, address - range->base, size);
    return true;
}

bool bus_write(const struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_range *range = find(bus, address, size);

    if (range == NULL) {
        return false;
    }
    range->operations->write(range->device, address - range->base, size, value);
    return true;
}
