/* Loads a Linux kernel by the 64-bit boot protocol (Linux, Documentation/x86/boot.rst). */
#ifndef ARCH_X86_GUEST_LINUX_BOOT_H
#define ARCH_X86_GUEST_LINUX_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/guest_memory.h"
#include "vmm/virtualization.h"

#define LINUX_BOOT_SEED_SIZE  32
#define LINUX_BOOT_ERROR_SIZE 256

/* What to boot. All of it stays the caller's and is only read; files are not trusted. */
struct linux_boot_image {
    const char *kernel_name; /* for messages */
    const void *kernel;      /* a bzImage, as read from its file */
    size_t kernel_size;
    const char *initrd_name; /* for messages */
    const void *initrd;
    size_t initrd_size; /* 0: none */
    const char *cmdline;
    uint64_t rsdp_gpa; /* of the ACPI tables */
    /*
     * LINUX_BOOT_SEED_SIZE fresh random bytes for the kernel's generator. They are copied into
     * guest memory; the caller wipes its own copy.
     */
    const uint8_t *rng_seed;
};

/*
 * Puts the kernel, the initrd, the command line, the memory map and what the processor needs to
 * start into guest memory, which has not run yet and whose first region starts at 0, and says in
 * *start how the boot vCPU is to enter.
 *
 * False, with one sentence in `error` (of LINUX_BOOT_ERROR_SIZE bytes), if the kernel is not one
 * that can be booted so, or something does not fit; guest memory may then be partly written.
 */
bool linux_boot_load(const struct guest_memory *memory, const struct linux_boot_image *image,
                     struct vcpu_start *start, char *error);

#endif
