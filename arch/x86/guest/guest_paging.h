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

#define GUEST_PAGING_LEVELS 4

/*
 * The last translation of 64-bit or PAE paging, and what it was made from. It holds as long as the
 * registers and entries have the values that were read: nothing the guest does can make it stale
 * unseen. All zero to begin with.
 */
struct guest_translation {
    struct guest_paging paging;
    uint64_t linear_page;                         /* bits 63:12 */
    const uint64_t *entries[GUEST_PAGING_LEVELS]; /* where they are; guest RAM stays in its place */
    uint64_t values[GUEST_PAGING_LEVELS];
    unsigned levels;       /* 0: nothing is remembered */
    const uint8_t *memory; /* the page itself, in RAM */
};

/*
 * Copies up to `size` bytes, at most a page, from a linear address on. Returns how many there were
 * until the first that is not mapped or not RAM.
 */
size_t guest_fetch(const struct guest_memory *memory, const struct guest_paging *paging,
                   uint64_t linear, uint8_t *bytes, size_t size);

/* What a vCPU remembers: the code of a few pages, such as those of a driver, has a place each. */
#define GUEST_TRANSLATIONS 4

struct guest_translations {
    struct guest_translation rows[GUEST_TRANSLATIONS]; /* by the page's lowest bits */
};

/* What guest_fetch_again() copies: as two words, and a byte more than an instruction may have. */
#define GUEST_FETCH_SIZE 16

/* The same, for GUEST_FETCH_SIZE bytes, by way of `last`, of the same memory and vCPU each time. */
size_t guest_fetch_again(const struct guest_memory *memory, const struct guest_paging *paging,
                         struct guest_translations *last, uint64_t linear,
                         uint8_t bytes[GUEST_FETCH_SIZE]);

#endif
