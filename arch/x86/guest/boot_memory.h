/* What all kinds of boot put into a guest's memory: its map, start-up tables, files. */
#ifndef ARCH_X86_GUEST_BOOT_MEMORY_H
#define ARCH_X86_GUEST_BOOT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/x86/guest/boot_image.h"
#include "vmm/virtualization.h"

/*
 * Where things go in low memory: clear of page 0, which Linux takes for the BIOS's, and of the top
 * of the RAM below 640 KiB, where its decompressor puts a trampoline.
 */
#define BOOT_GPA_INFO         0x10000ULL /* what the kernel is told: 4 KiB */
#define BOOT_GPA_CMDLINE      0x11000ULL
#define BOOT_CMDLINE_ROOM     ((size_t)0x1000)
#define BOOT_GPA_SETUP_DATA   0x12000ULL
#define BOOT_GPA_GDT          0x13000ULL
#define BOOT_GPA_MODULE_NAMES 0x14000ULL
#define BOOT_NAME_ROOM        ((size_t)0x200) /* for each module's */
#define BOOT_GPA_STACK_TOP    0x18000ULL
#define BOOT_GPA_PAGE_TABLES  0x20000ULL

/* A piece of the guest's memory map. The types mean the same in E820, PVH and Multiboot. */
struct boot_range {
    uint64_t start;
    uint64_t size;
    uint32_t type;
};

#define BOOT_RANGE_RAM      1U
#define BOOT_RANGE_RESERVED 2U
#define BOOT_RANGES         (2 + GUEST_MEMORY_REGIONS)

/* A little-endian field of `size` bytes, at most 8; what surrounds it was checked. */
static inline uint64_t boot_get(const void *bytes, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)bytes + offset, size);
    return value;
}

static inline void boot_put(void *bytes, size_t offset, size_t size, uint64_t value)
{
    memcpy((uint8_t *)bytes + offset, &value, size);
}

/* What to do about a refusal. */
#define BOOT_MEND_FILE                                                                             \
    "give kernel = the whole file of a kernel, not compressed: of Linux, vmlinuz as it is"
#define BOOT_MEND_KIND                                                                             \
    "leave boot = out: then what the file is decides; or give kernel = a file of that kind"
#define BOOT_MEND_KERNEL  "give kernel = another kernel"
#define BOOT_MEND_MEMORY  "raise memory = of this guest, or give it a smaller file"
#define BOOT_MEND_PLACE   "raise memory = of this guest, or give kernel = one that loads elsewhere"
#define BOOT_MEND_CMDLINE "shorten cmdline ="
#define BOOT_MEND_MODULES "leave modules = out, or put the files into the initrd"

/* Writes boot->error, the text in the manner of printf. Always false. */
bool boot_fail(const struct boot *boot, const char *remedy, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The one way for what a file has into guest memory: `size` bytes to `gpa`, and zeroes behind them
 * up to `room` bytes in all. False if that is not RAM. In a plan it is only measured.
 */
bool boot_copy(const struct boot *boot, uint64_t gpa, const void *bytes, uint64_t size,
               uint64_t room);

/* The size of the guest's memory, in MiB, as memory = has it. */
uint64_t boot_memory_mebibytes(const struct boot *boot);

/* In MiB, rounded up, for messages. */
uint64_t boot_mebibytes(uint64_t size);

/* The RAM from 0 on without a gap, in bytes: it holds all that a boot needs. */
uint64_t boot_low_memory(const struct guest_memory *memory);

/* Writes the memory map, in ascending order, and returns how many of BOOT_RANGES there are. */
unsigned boot_memory_map(const struct guest_memory *memory, struct boot_range *ranges);

/*
 * Loads a file behind `end`, to *start on the next page. False, with the error, if it does not fit
 * into low memory.
 */
bool boot_load_file(struct boot *boot, const struct boot_file *file, uint64_t end, uint64_t *start);

/* A loaded module: GPAs and bytes. */
struct boot_module {
    uint64_t start;
    uint64_t size;
    uint64_t name; /* GPA of its path */
};

/*
 * Loads the initrd, if there is one, and the modules behind `end`, each on a page of its own, and
 * their paths. Writes *count of at most BOOT_MODULES + 1 entries. False, with the error, if one
 * does not fit.
 */
bool boot_load_modules(struct boot *boot, uint64_t end, struct boot_module *modules,
                       unsigned *count);

/*
 * Writes the command line to BOOT_GPA_CMDLINE, behind the kernel's path and a blank if `with_path`.
 * False, with the error, if it is too long.
 */
bool boot_write_cmdline(struct boot *boot, bool with_path);

/* Whether what was loaded up to `end` holds `entry`. False, with the error, if not. */
bool boot_check_entry(const struct boot *boot, uint64_t entry, uint64_t end);

/*
 * Writes what a vCPU starts with (descriptor table; for 64-bit mode page tables that map the lowest
 * 4 GiB to themselves) and fills in *start but for the address and the registers' values.
 */
void boot_write_start(struct boot *boot, enum vcpu_start_mode mode, struct vcpu_start *start);

/*
 * A hardware-reduced machine is rebooted through EFI, thinks Linux, and without EFI through the
 * BIOS: in real mode it jumps to the reset vector (arch/x86/kernel/reboot.c). So there is one,
 * which writes the reset register.
 */
void boot_write_reset_vector(struct boot *boot);

#endif
