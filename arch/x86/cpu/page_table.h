/* Four-level page tables: one builder for the host's own, EPT and AMD's nested tables. */
#ifndef ARCH_X86_CPU_PAGE_TABLE_H
#define ARCH_X86_CPU_PAGE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arena.h"

#define PAGE_SIZE       0x1000ULL
#define PAGE_SIZE_2M    0x200000ULL
#define PAGE_SIZE_1G    0x40000000ULL
#define PAGE_TABLE_SPAN (1ULL << 48) /* bytes that four levels translate */

/*
 * How one kind of table spells its entries. In all three kinds bits 12 to 51 hold the address, bit
 * 7 marks a large page, and an entry is absent if none of `present` is set.
 */
struct page_table_format {
    uint64_t present;      /* SDM Vol. 3A, 4.5 (bit 0) and Vol. 3C, 29.3.2 (bits 0-2) */
    uint64_t table;        /* flags of an entry that points to a table */
    uint64_t largest_page; /* PAGE_SIZE, PAGE_SIZE_2M or PAGE_SIZE_1G */
};

struct page_table {
    uint64_t *root; /* 4 KiB, from the arena; its HVA is its physical address */
    const struct page_table_format *format;
};

/* Makes an empty table. False if the arena is exhausted. */
bool page_table_init(struct page_table *table, const struct page_table_format *format,
                     struct arena *arena);

/*
 * Maps [from, from + size) to [to, to + size), both multiples of 4 KiB, with leaf flags `flags`, in
 * the largest pages that alignment, size and `format` allow. A page mapped before gets the new
 * mapping; mapping a part of a large page is refused. False if that, or if the arena is exhausted
 * or the range leaves 48 bits.
 */
bool page_table_map(struct page_table *table, uint64_t from, uint64_t to, uint64_t size,
                    uint64_t flags, struct arena *arena);

/*
 * The leaf entry that translates `address`, and the size of its page in *size; 0 if there is none.
 */
uint64_t page_table_lookup(const struct page_table *table, uint64_t address, uint64_t *size);

#endif
