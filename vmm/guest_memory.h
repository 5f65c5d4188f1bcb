/* Guest memory: the one bounds-checked way into what a guest owns. */
#ifndef VMM_GUEST_MEMORY_H
#define VMM_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
 * It stays good, as a guest's RAM never moves. What another vCPU may be changing meanwhile is read
 * through the functions below, once.
 */
void *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/* Copies between guest memory and `buffer`. False, with nothing copied, if any byte is outside. */
bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *buffer,
                       size_t length);
bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *buffer,
                        size_t length);

/*
 * Single, untorn loads of a naturally aligned little-endian field that another vCPU may be
 * changing, with acquire order. False if outside RAM or misaligned.
 */
bool guest_memory_load32(const struct guest_memory *memory, uint64_t gpa, uint32_t *value);
bool guest_memory_load64(const struct guest_memory *memory, uint64_t gpa, uint64_t *value);

/*
 * The same for a naturally aligned field within what guest_memory_range() has given out, so without
 * another check; stores have release order.
 */
static inline uint16_t guest_load16(const uint8_t *field)
{
    return __atomic_load_n((const uint16_t *)field, __ATOMIC_ACQUIRE);
}

static inline uint32_t guest_load32(const uint8_t *field)
{
    return __atomic_load_n((const uint32_t *)field, __ATOMIC_ACQUIRE);
}

static inline uint64_t guest_load64(const uint8_t *field)
{
    return __atomic_load_n((const uint64_t *)field, __ATOMIC_ACQUIRE);
}

static inline void guest_store16(uint8_t *field, uint16_t value)
{
    __atomic_store_n((uint16_t *)field, value, __ATOMIC_RELEASE);
}

static inline void guest_store32(uint8_t *field, uint32_t value)
{
    __atomic_store_n((uint32_t *)field, value, __ATOMIC_RELEASE);
}

/*
 * 16 bytes of any alignment as two little-endian words: not untorn, but read once, as the fence
 * keeps the compiler from going back to the source for what it has in the copy.
 */
static inline void guest_load_pair(const uint8_t *source, uint64_t pair[2])
{
    memcpy(pair, source, 2 * sizeof(pair[0]));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Zeroes all RAM, so that nothing of a guest outlives it and nothing reaches the next. */
void guest_memory_wipe(const struct guest_memory *memory);

#endif
