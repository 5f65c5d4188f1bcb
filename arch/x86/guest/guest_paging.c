/* Walks the guest's page tables, which the guest may be changing. Sections: SDM Vol. 3A, ch. 4. */
#include "arch/x86/guest/guest_paging.h"

#include "arch/x86/cpu/registers.h"

#define ENTRY_PRESENT   (1ULL << 0)
#define ENTRY_PAGE_SIZE (1ULL << 7)
#define ENTRY_ADDRESS   0x000ffffffffff000ULL

/* One way of paging: a tree whose every level consumes `index_bits` of the address. */
struct paging_mode {
    uint64_t root;      /* bits of CR3 that hold the top table's address */
    uint8_t entry_size; /* bytes */
    uint8_t index_bits;
    uint8_t top_shift;    /* the top level's lowest address bit */
    uint8_t largest_page; /* log2 of the largest page's size */
};

static const struct paging_mode four_level = {ENTRY_ADDRESS, 8, 9, 39, 30};    /* 4.5 */
static const struct paging_mode pae = {0xffffffe0, 8, 9, 30, 21};              /* 4.4 */
static const struct paging_mode two_level = {0xfffff000, 4, 10, 22, 12};       /* 4.3 */
static const struct paging_mode two_level_large = {0xfffff000, 4, 10, 22, 22}; /* 4.3, PSE */

static const struct paging_mode *select_mode(const struct guest_paging *paging)
{
    if ((paging->cr4 & CR4_PAE) == 0) {
        return (paging->cr4 & CR4_PSE) != 0 ? &two_level_large : &two_level;
    }
    return (paging->efer & EFER_LMA) != 0 ? &four_level : &pae;
}

/* Notes an entry as that of `level` and, until they have one of their own, of the levels below. */
static void note_entry(struct guest_walk *walk, unsigned level, const struct guest_memory *memory,
                       uint64_t gpa, uint64_t value)
{
    if (walk == NULL) {
        return;
    }
    const void *entry = guest_memory_range(memory, gpa, sizeof(value));

    for (unsigned i = level; i < GUEST_PAGING_LEVELS; i++) {
        walk->entries[i] = entry;
        walk->values[i] = value;
    }
}

static bool load_entry(const struct guest_memory *memory, const struct paging_mode *mode,
                       uint64_t table, uint64_t index, uint64_t *entry)
{
    uint32_t narrow;

    if (mode->entry_size == 8) {
        return guest_memory_load64(memory, table + 8 * index, entry);
    }
    if (!guest_memory_load32(memory, table + 4 * index, &narrow)) {
        return false;
    }
    *entry = narrow;
    return true;
}

/* The page an entry maps. 4 MiB pages keep address bits 39:32 in bits 20:13 (table 4-4, PSE-36). */
static uint64_t page_address(const struct paging_mode *mode, uint64_t entry, unsigned shift)
{
    uint64_t high = mode->entry_size == 4 && shift == 22 ? (entry >> 13 & 0xff) << 32 : 0;

    return high | (entry & ENTRY_ADDRESS & ~((1ULL << shift) - 1));
}

static bool is_canonical(uint64_t linear)
{
    return linear >> 47 == 0 || linear >> 47 == 0x1ffff;
}

static bool translate(const struct guest_memory *memory, const struct guest_paging *paging,
                      uint64_t linear, uint64_t *gpa, struct guest_walk *walk)
{
    bool long_mode = (paging->efer & EFER_LMA) != 0;

    if (!long_mode) {
        linear &= 0xffffffff;
    }
    if ((paging->cr0 & CR0_PG) == 0) {
        *gpa = linear;
        return true;
    }
    if (long_mode && (!is_canonical(linear) || (paging->cr4 & CR4_LA57) != 0)) {
        return false;
    }
    const struct paging_mode *mode = select_mode(paging);
    uint64_t table = paging->cr3 & mode->root;
    unsigned shift = mode->top_shift;

    for (unsigned level = 0;; level++) {
        uint64_t index = linear >> shift & ((1ULL << mode->index_bits) - 1);
        uint64_t entry;

        if (!load_entry(memory, mode, table, index, &entry) || (entry & ENTRY_PRESENT) == 0) {
            return false;
        }
        note_entry(walk, level, memory, table + 8 * index, entry);
        bool large = shift <= mode->largest_page && (entry & ENTRY_PAGE_SIZE) != 0;

        if (large || shift == GUEST_PAGE_SHIFT) {
            *gpa = page_address(mode, entry, shift) | (linear & ((1ULL << shift) - 1));
            return true;
        }
        table = entry & ENTRY_ADDRESS;
        shift -= mode->index_bits;
    }
}

bool guest_translate(const struct guest_memory *memory, const struct guest_paging *paging,
                     uint64_t linear, uint64_t *gpa)
{
    return translate(memory, paging, linear, gpa, NULL);
}

bool guest_translate_noted(const struct guest_memory *memory, const struct guest_paging *paging,
                           uint64_t linear, uint64_t *gpa, struct guest_walk *walk)
{
    bool wide = (paging->cr0 & CR0_PG) != 0 && (paging->cr4 & CR4_PAE) != 0;

    return wide && translate(memory, paging, linear, gpa, walk);
}

size_t guest_fetch(const struct guest_memory *memory, const struct guest_paging *paging,
                   uint64_t linear, uint8_t *bytes, size_t size)
{
    size_t copied = 0;

    if (size > GUEST_PAGE_SIZE) {
        size = GUEST_PAGE_SIZE;
    }
    while (copied < size) {
        uint64_t gpa;
        size_t piece = GUEST_PAGE_SIZE - (size_t)((linear + copied) % GUEST_PAGE_SIZE);

        if (piece > size - copied) {
            piece = size - copied;
        }
        if (!guest_translate(memory, paging, linear + copied, &gpa) ||
            !guest_memory_read(memory, gpa, bytes + copied, piece)) {
            break;
        }
        copied += piece;
    }
    return copied;
}
