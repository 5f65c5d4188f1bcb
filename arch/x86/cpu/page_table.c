/* Four-level page tables. Tables are identity-mapped: an HVA is a physical address. */
#include "arch/x86/cpu/page_table.h"

#include <stddef.h>

#define ENTRIES      512U
#define ADDRESS_MASK 0x000ffffffffff000ULL
#define LARGE_PAGE   (1ULL << 7)

/* Bytes that one entry covers at a level: 1 is the lowest, 4 the root. */
static uint64_t entry_span(unsigned level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

static uint64_t *entry_at(uint64_t *table, uint64_t address, unsigned level)
{
    return &table[address / entry_span(level) % ENTRIES];
}

static uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(uintptr_t)(entry & ADDRESS_MASK);
}

static bool is_present(const struct page_table *table, uint64_t entry)
{
    return (entry & table->format->present) != 0;
}

static bool is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (entry & LARGE_PAGE) != 0;
}

bool page_table_init(struct page_table *table, const struct page_table_format *format,
                     struct arena *arena)
{
    table->format = format;
    table->root = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    return table->root != NULL;
}

/* The highest level whose page fits at this place: 3 is 1 GiB, 2 is 2 MiB, 1 is 4 KiB. */
static unsigned leaf_level(const struct page_table *table, uint64_t from, uint64_t to,
                           uint64_t size)
{
    unsigned level = 3;

    while (level > 1 && (entry_span(level) > table->format->largest_page ||
                         (from | to) % entry_span(level) != 0 || size < entry_span(level))) {
        level--;
    }
    return level;
}

/* The entry for `address` at `level`, with the tables above it made as needed. */
static uint64_t *make_entry(struct page_table *table, uint64_t address, unsigned level,
                            struct arena *arena)
{
    uint64_t *current = table->root;

    for (unsigned at = 4; at > level; at--) {
        uint64_t *entry = entry_at(current, address, at);

        if (!is_present(table, *entry)) {
            void *fresh = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);

            if (fresh == NULL) {
                return NULL;
            }
            *entry = (uintptr_t)fresh | table->format->table;
        } else if (is_leaf(*entry, at)) {
            return NULL;
        }
        current = table_of(*entry);
    }
    return entry_at(current, address, level);
}

/* Whether there is a table already: it holds finer mappings. */
static bool holds_table(const struct page_table *table, uint64_t entry, unsigned level)
{
    return is_present(table, entry) && !is_leaf(entry, level);
}

/*
 * Leaves from `entry` on, to the end of its table, of `size` or before a table: no larger page than
 * the first fits before. Returns the bytes mapped, which are at least one leaf's.
 */
static uint64_t fill(const struct page_table *table, uint64_t *entry, unsigned level, uint64_t to,
                     uint64_t size, uint64_t flags)
{
    const uint64_t *end = entry + (PAGE_SIZE - (uintptr_t)entry % PAGE_SIZE) / sizeof(*entry);
    const uint64_t span = entry_span(level);
    uint64_t filled = 0;

    do {
        *entry++ = (to + filled) | flags;
        filled += span;
    } while (entry < end && size - filled >= span && !holds_table(table, *entry, level));
    return filled;
}

bool page_table_map(struct page_table *table, uint64_t from, uint64_t to, uint64_t size,
                    uint64_t flags, struct arena *arena)
{
    if ((from | to | size) % PAGE_SIZE != 0 || from >= PAGE_TABLE_SPAN ||
        size > PAGE_TABLE_SPAN - from) {
        return false;
    }
    while (size > 0) {
        unsigned level = leaf_level(table, from, to, size);
        uint64_t *entry = make_entry(table, from, level, arena);

        /* Finer mappings are filled in, rather than lost. */
        while (entry != NULL && holds_table(table, *entry, level)) {
            level--;
            entry = make_entry(table, from, level, arena);
        }
        if (entry == NULL) {
            return false;
        }
        uint64_t filled = fill(table, entry, level, to, size, flags | (level > 1 ? LARGE_PAGE : 0));

        from += filled;
        to += filled;
        size -= filled;
    }
    return true;
}

uint64_t page_table_lookup(const struct page_table *table, uint64_t address, uint64_t *size)
{
    const uint64_t *current = table->root;

    if (address >= PAGE_TABLE_SPAN) {
        return 0;
    }
    for (unsigned level = 4; level > 0; level--) {
        uint64_t entry = current[address / entry_span(level) % ENTRIES];

        if (!is_present(table, entry)) {
            return 0;
        }
        if (is_leaf(entry, level)) {
            *size = entry_span(level);
            return entry;
        }
        current = table_of(entry);
    }
    return 0;
}
