/* What a guest is booted from, and what every kind of boot works on. */
#ifndef ARCH_X86_GUEST_BOOT_IMAGE_H
#define ARCH_X86_GUEST_BOOT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/guest_memory.h"

#define BOOT_SEED_SIZE  32
#define BOOT_ERROR_SIZE 512
#define BOOT_MODULES    8

/* A file as read from the boot volume. Its contents are not trusted. */
struct boot_file {
    const char *name; /* path, for messages and for a guest that asks */
    const void *data;
    size_t size;     /* 0: there is none */
    const char *key; /* of the configuration, for messages */
};

/* By what protocol the kernel is entered. */
enum boot_kind_name { BOOT_AUTO, BOOT_LINUX, BOOT_PVH, BOOT_MULTIBOOT, BOOT_FLAT };

/* What to boot. All of it stays the caller's and is only read. */
struct boot_image {
    enum boot_kind_name kind; /* BOOT_AUTO: what the kernel's file is */
    struct boot_file kernel;
    struct boot_file initrd;
    struct boot_file modules[BOOT_MODULES]; /* for the kinds that have them, after the initrd */
    unsigned module_count;
    const char *cmdline;
    uint64_t rsdp_gpa; /* of the ACPI tables */
    /*
     * BOOT_SEED_SIZE fresh random bytes for the kernel's generator, which only Linux's own protocol
     * can hand on; NULL: none. They are copied into guest memory; the caller wipes its own copy.
     */
    const uint8_t *rng_seed;
};

/* Why an image does not boot. */
struct boot_error {
    char text[BOOT_ERROR_SIZE]; /* one sentence, with the key and its value; "" for none */
    const char *remedy;         /* what to do about it */
};

/* One boot under way. */
struct boot {
    const struct guest_memory *memory;
    const struct boot_image *image;
    uint8_t *low; /* the guest's first mebibyte, where all but the big things go */
    bool plan;    /* nothing is written above it: boot_check() */
    struct boot_error *error;
};

#endif
