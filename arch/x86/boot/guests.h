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
 * Reads the guest's files. Returns how many cannot be read; the log has each, and what to do about
 * it.
 */
unsigned guest_read(struct guest *guest, const struct config_guest *config);

/*
 * Whether what was read boots in the memory that the guest is to have, for which the mebibyte at
 * `low` is used up. False, with lines in the log that say what to do, if not.
 */
bool guest_judge(const struct guest *guest, void *low);

/* Takes its memory from the firmware. False, with lines in the log, if there is no such piece. */
bool guest_take_memory(struct guest *guest);

/*
 * What a guest needs of the hypervisor's own memory, in bytes, with nested page tables of pages of
 * at most `largest_page`.
 */
uint64_t guest_arena_size(const struct config_guest *config, uint64_t largest_page);

#endif
