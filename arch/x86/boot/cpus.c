/* Starting the other CPUs: a page below 1 MiB, an INIT, two start-up interrupts. */
#include "arch/x86/boot/cpus.h"

#include <string.h>

#include "arch/x86/boot/firmware.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/instructions.h"

#define ONE_MEGABYTE 0x100000ULL

/* The end of trampoline.asm. */
struct trampoline_data {
    uint64_t page_table;
    uint64_t entry;
    uint64_t stack_slot;
    uint64_t cpu_slot;
    uint32_t long_address;
    uint16_t long_selector;
    uint16_t long_offset;
    uint16_t gdt_limit;
    uint32_t gdt_address;
    uint16_t gdt_offset;
} __attribute__((packed));

extern const uint8_t trampoline_start[], trampoline_data[], trampoline_end[];

static uint8_t *page;

/* What the CPU that is being started reads. */
static volatile uint64_t next_stack;
static volatile uint64_t next_cpu;

bool cpus_prepare(void)
{
    page = firmware_allocate_code_below(PAGE_SIZE, ONE_MEGABYTE);
    return page != NULL;
}

void cpus_set_entry(const struct page_table *table, cpu_entry entry)
{
    struct trampoline_data *data =
        (struct trampoline_data *)(page + (trampoline_data - trampoline_start));

    memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    data->page_table = (uintptr_t)table->root;
    data->entry = (uintptr_t)entry;
    data->stack_slot = (uintptr_t)&next_stack;
    data->cpu_slot = (uintptr_t)&next_cpu;
    data->long_address = (uint32_t)(uintptr_t)page + data->long_offset;
    data->gdt_address = (uint32_t)(uintptr_t)page + data->gdt_offset;
}

static void wait(uint64_t ticks)
{
    uint64_t start = read_tsc();

    while (read_tsc() - start < ticks) {
        pause();
    }
}

void cpus_start(struct cpu *cpu, uint64_t frequency)
{
    uint32_t start_up = APIC_COMMAND_STARTUP | (uint32_t)((uintptr_t)page / PAGE_SIZE);

    next_stack = cpu_stack_top(cpu, CPU_STACK_MAIN);
    next_cpu = (uintptr_t)cpu;
    apic_send(cpu->apic_id, APIC_COMMAND_INIT);
    wait(frequency / 100); /* 10 ms */
    apic_send(cpu->apic_id, start_up);
    wait(frequency / 5000); /* 200 us; a CPU that runs already ignores the second one */
    apic_send(cpu->apic_id, start_up);
}
