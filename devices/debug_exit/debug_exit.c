/* The debug-exit port. */
#include "devices/debug_exit/debug_exit.h"

static uint64_t read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct debug_exit *debug_exit = device;

    (void)offset;
    (void)size;
    debug_exit->end(debug_exit->context, (uint32_t)value);
}

const struct bus_operations debug_exit_operations = {read, write};
