/* The hypervisor's own page tables. */
#include "arch/x86/boot/address_space.h"

#include "arch/x86/boot/firmware.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"

/* SDM Vol. 3A, 4.5. Accessed and dirty are set beforehand, so that no walk has to write them. */
#define HOST_PRESENT    (1ULL << 0)
#define HOST_WRITABLE   (1ULL << 1)
#define HOST_UNCACHED   (1ULL << 4 | 1ULL << 3)
#define HOST_ACCESSED   (1ULL << 5)
#define HOST_DIRTY      (1ULL << 6)
#define HOST_NO_EXECUTE (1ULL << 63)

#define MAP_CODE      (HOST_PRESENT | HOST_ACCESSED)
#define MAP_CONSTANTS (HOST_PRESENT | HOST_ACCESSED | HOST_NO_EXECUTE)
#define MAP_DATA      (MAP_CONSTANTS | HOST_WRITABLE | HOST_DIRTY)

#define CPUID_7_EBX_SMEP  (1U << 7)
#define CPUID_7_EBX_SMAP  (1U << 20)
#define CPUID_7_ECX_UMIP  (1U << 2)
#define CPUID_1_ECX_XSAVE (1U << 26)

/* The linker script's marks; all page-aligned. */
extern const char ImageBase[], image_text[], image_text_end[], image_constants[],
    image_constants_end[], image_data_end[], image_end[];

static bool map(struct page_table *table, uint64_t from, uint64_t to, uint64_t flags,
                struct arena *arena)
{
    return from == to || page_table_map(table, from, from, to - from, flags, arena);
}

static bool map_image(struct page_table *table, struct arena *arena)
{
    return map(table, (uintptr_t)ImageBase, (uintptr_t)image_text, MAP_CONSTANTS, arena) &&
           map(table, (uintptr_t)image_text, (uintptr_t)image_text_end, MAP_CODE, arena) &&
           map(table, (uintptr_t)image_text_end, (uintptr_t)image_constants_end, MAP_CONSTANTS,
               arena) &&
           map(table, (uintptr_t)image_constants_end, (uintptr_t)image_data_end, MAP_DATA, arena) &&
           map(table, (uintptr_t)image_data_end, (uintptr_t)image_end, MAP_CONSTANTS, arena);
}

/* The lowest guard page at or above `from` and below `to`; `to` if there is none. */
static uint64_t next_guard(const struct host *host, uint64_t from, uint64_t to)
{
    uint64_t lowest = to;

    for (unsigned i = 0; i < host->cpu_count; i++) {
        for (unsigned stack = 0; stack < CPU_STACKS; stack++) {
            uint64_t guard = cpu_guard_page(&host->cpus[i], (enum cpu_stack)stack);

            if (guard >= from && guard < lowest) {
                lowest = guard;
            }
        }
    }
    return lowest;
}

/* Maps a range but for the guard pages in it. */
static bool map_around_guards(struct page_table *table, const struct host *host,
                              const struct firmware_range *range, struct arena *arena)
{
    uint64_t end = range->base + range->size;
    uint64_t flags = range->use == FIRMWARE_CODE ? MAP_CODE : MAP_DATA;

    for (uint64_t from = range->base; from < end;) {
        uint64_t guard = next_guard(host, from, end);

        if (!map(table, from, guard, flags, arena)) {
            return false;
        }
        from = guard < end ? guard + PAGE_SIZE : end;
    }
    return true;
}

bool address_space_build(struct page_table *table, const struct host *host, struct arena *arena)
{
    static struct page_table_format format = {
        .present = HOST_PRESENT,
        .table = HOST_PRESENT | HOST_WRITABLE | HOST_ACCESSED,
    };
    unsigned count;
    const struct firmware_range *ranges = firmware_ranges(&count);
    uint64_t apic = apic_register_page();

    format.largest_page = (cpuid(0x80000001, 0).edx & 1U << 26) != 0 ? PAGE_SIZE_1G : PAGE_SIZE_2M;
    if (!page_table_init(table, &format, arena) || !map_image(table, arena)) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!map_around_guards(table, host, &ranges[i], arena)) {
            return false;
        }
    }
    return apic == 0 || map(table, apic, apic + PAGE_SIZE, MAP_DATA | HOST_UNCACHED, arena);
}

void address_space_load(const struct page_table *table)
{
    struct cpuid_registers features = cpuid(7, 0);
    uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR;

    if ((features.ebx & CPUID_7_EBX_SMEP) != 0) {
        cr4 |= CR4_SMEP;
    }
    if ((features.ebx & CPUID_7_EBX_SMAP) != 0) {
        cr4 |= CR4_SMAP;
    }
    if ((features.ecx & CPUID_7_ECX_UMIP) != 0) {
        cr4 |= CR4_UMIP;
    }
    if ((cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) != 0) {
        cr4 |= CR4_OSXSAVE; /* so that a guest's XSETBV can be carried out */
    }
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_NXE);
    write_msr(MSR_PAT, PAT_RESET);
    write_cr3((uintptr_t)table->root);
    write_cr4(cr4);
    if ((cr4 & CR4_OSXSAVE) != 0) {
        write_xcr0(1); /* as a guest finds it at reset: x87 only */
    }
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG);
}
