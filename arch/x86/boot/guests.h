/* Guests before they run: their files, their memory, their machines. */
#ifndef ARCH_X86_BOOT_GUESTS_H
#define ARCH_X86_BOOT_GUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/guest/machine.h"
#include "arch/x86/host/guest_console.h"
#include "vmm/config.h"

/* One guest, from its section of the configuration to its machine. */
struct guest {
    const struct config_guest *config;
    struct boot_image image; /* the files, in memory from the firmware */
    struct console_channel *console;
    struct vm vm;
};

/*
 * Reads the guest's files and takes its memory from the firmware. False, with a line in the log
 * that names the file or the size, if that fails.
 */
bool guest_prepare(struct guest *guest, const struct config_guest *config);

/* What a guest needs of the hypervisor's own memory, in bytes, nested page tables included. */
uint64_t guest_arena_size(const struct config_guest *config);

#endif
