/* The debug-exit port: a value written there ends the guest, as x86 test suites expect. */
#ifndef DEVICES_DEBUG_EXIT_DEBUG_EXIT_H
#define DEVICES_DEBUG_EXIT_DEBUG_EXIT_H

#include <stdint.h>

#include "vmm/bus.h"

/* 1, 2 or 4 bytes may be written, at any of these ports. */
#define DEBUG_EXIT_PORTS 4

struct debug_exit {
    void (*end)(void *context, uint32_t value);
    void *context; /* for end(); not owned */
};

/*
 * For a bus range of DEBUG_EXIT_PORTS ports whose device is a struct debug_exit. Each write calls
 * end() once; there is no other state. Reads are 0.
 */
extern const struct bus_operations debug_exit_operations;

#endif
