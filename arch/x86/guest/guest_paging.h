/* The guest's own page tables: from a linear address to a GPA, and to an instruction's bytes. */
#ifndef ARCH_X86_GUEST_GUEST_PAGING_H
#define ARCH_X86_GUEST_GUEST_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/guest_memory.h"

/* The registers that say how a vCPU translates. */
struct guest_paging {
    uint64_t cr0;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t efer;
};

/*
 * Translates a linear address as the vCPU would: no paging, 32-bit, PAE or 4-level paging with all
 * page sizes (SDM Vol. 3A, ch. 4). Reads each entry once, at most four. Neither checks rights nor
 * sets accessed and dirty flags: it serves instructions that the processor has just fetched.
 *
 * False if an entry is not present or not in RAM, the address is not canonical, or the guest uses
 * 5-level paging, which this machine does not announce. The GPA need not be RAM.
 */
bool guest_translate(const struct guest_memory *memory, const struct guest_paging *paging,
                     uint64_t linear, uint64_t *gpa);

#define GUEST_PAGE_SHIFT    12
#define GUEST_PAGE_SIZE     (1U << GUEST_PAGE_SHIFT)
#define GUEST_PAGING_LEVELS 4

/*
 * What a walk of 64-bit or PAE paging read. As long as CR0, CR3, CR4 and EFER are what they were,
 * and these entries have these values, the same walk leads to the same place.
 */
struct guest_walk {
    const uint64_t *entries[GUEST_PAGING_LEVELS]; /* where they are; guest RAM stays in its place */
    uint64_t values[GUEST_PAGING_LEVELS];
};

/* Translates, and notes the walk. False also where there are no such entries to be noted. */
bool guest_translate_noted(const struct guest_memory *memory, const struct guest_paging *paging,
                           uint64_t linear, uint64_t *gpa, struct guest_walk *walk);

/* Whether the entries of a walk that was noted have the values still that they had. */
static inline bool guest_walk_holds(const struct guest_walk *walk)
{
    uint64_t changed = 0;

#pragma GCC unroll 4
    for (unsigned i = 0; i < GUEST_PAGING_LEVELS; i++) {
        changed |= __atomic_load_n(walk->entries[i], __ATOMIC_ACQUIRE) ^ walk->values[i];
    }
    return changed == 0;
}

/*
 * Copies up to `size` bytes, at most a page, from a linear address on. Returns how many there were
 * until the first that is not mapped or not RAM.
 */
size_t guest_fetch(const struct guest_memory *memory, const struct guest_paging *paging,
                   uint64_t linear, uint8_t *bytes, size_t size);

#endif
