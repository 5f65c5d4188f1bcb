/* Guest memory: the one bounds-checked way into what a guest owns. */
#ifndef VMM_GUEST_MEMORY_H
#define VMM_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below and above the MMIO hole; more only if a guest kind ever needs it. */
#define GUEST_MEMORY_REGIONS 2

/* One piece of a guest's RAM, contiguous for the guest and for the hypervisor. */
struct guest_memory_region {
    uint64_t gpa;  /* first guest-physical address */
    uint64_t size; /* bytes */
    uint8_t *hva;  /* where the hypervisor sees it; owned by the guest for good */
};

struct guest_memory {
    struct guest_memory_region regions[GUEST_MEMORY_REGIONS];
    unsigned count;
};

/*
 * Adds a region. False if the table is full, the size is 0, the range wraps, it overlaps another
 * region or gpa and hva differ in their lowest three bits.
 */
bool guest_memory_add(struct guest_memory *memory, uint64_t gpa, uint64_t size, void *hva);

/* Total bytes of RAM. */
uint64_t guest_memory_size(const struct guest_memory *memory);

/*
 * The hypervisor's view of [gpa, gpa + length), or NULL unless the whole range lies in one region.
 * For bulk work on ranges the guest does not interpret meanwhile; what a guest shares is read
 * through the functions below, once.
 */
void *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/* Copies between guest memory and `buffer`. False, with nothing copied, if any byte is outside. */
bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *buffer,
                       size_t length);
bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *buffer,
                        size_t length);

/*
 * Single, untorn accesses to a naturally aligned little-endian field that another vCPU may be
 * changing: loads have acquire and stores release order. False if outside RAM or misaligned.
 */
bool guest_memory_load16(const struct guest_memory *memory, uint64_t gpa, uint16_t *value);
bool guest_memory_load32(const struct guest_memory *memory, uint64_t gpa, uint32_t *value);
bool guest_memory_load64(const struct guest_memory *memory, uint64_t gpa, uint64_t *value);
bool guest_memory_store16(const struct guest_memory *memory, uint64_t gpa, uint16_t value);
bool guest_memory_store32(const struct guest_memory *memory, uint64_t gpa, uint32_t value);

/*
 * Zeroes up to `length` bytes of RAM from the byte on that has `from` others before it, so that
 * nothing of a guest outlives it and nothing reaches the next. Returns how many; 0 behind the end.
 */
uint64_t guest_memory_wipe(const struct guest_memory *memory, uint64_t from, uint64_t length);

#endif
