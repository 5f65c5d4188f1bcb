/* The hypervisor's own page tables: code read-only, all else no-execute, guards under stacks. */
#ifndef ARCH_X86_BOOT_ADDRESS_SPACE_H
#define ARCH_X86_BOOT_ADDRESS_SPACE_H

#include <stdbool.h>

#include "arch/x86/cpu/page_table.h"
#include "arch/x86/host/host.h"

/*
 * Maps, each at its physical address, the image, the ranges taken from the firmware, and the local
 * APIC; nothing else. `host`'s CPUs have their stacks already. False if the arena is exhausted.
 */
bool address_space_build(struct page_table *table, const struct host *host, struct arena *arena);

/* Makes this CPU use it, with the protections that it relies on switched on. */
void address_space_load(const struct page_table *table);

#endif
