/* One CPU of the machine: descriptor tables and stacks. */
#include "arch/x86/cpu/cpu.h"

#include <stddef.h>

#include "arch/x86/cpu/exception.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/page_table.h"
#include "arch/x86/cpu/registers.h"

#define IDT_ENTRIES 256

/* SDM Vol. 3A, 6.14.1. */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

static struct gate idt[IDT_ENTRIES];

struct cpu *current_cpu(void)
{
    struct cpu *cpu;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static uint32_t stack_size(enum cpu_stack stack)
{
    return stack == CPU_STACK_MAIN ? CPU_STACK_SIZE : CPU_EXCEPTION_STACK_SIZE;
}

uint64_t cpu_guard_page(const struct cpu *cpu, enum cpu_stack stack)
{
    return (uintptr_t)cpu->stacks[stack] - PAGE_SIZE;
}

uint64_t cpu_stack_top(const struct cpu *cpu, enum cpu_stack stack)
{
    return (uintptr_t)cpu->stacks[stack] + stack_size(stack);
}

bool cpu_init(struct cpu *cpu, unsigned index, uint32_t apic_id, struct arena *arena)
{
    uintptr_t task_base = (uintptr_t)&cpu->task_state;
    uint64_t task_limit = sizeof(cpu->task_state) - 1;

    *cpu = (struct cpu){.self = cpu, .index = index, .apic_id = apic_id};
    for (unsigned i = 0; i < CPU_STACKS; i++) {
        uint8_t *memory =
            arena_allocate(arena, PAGE_SIZE + stack_size((enum cpu_stack)i), PAGE_SIZE);

        if (memory == NULL) {
            return false;
        }
        cpu->stacks[i] = memory + PAGE_SIZE;
    }
    for (unsigned i = CPU_STACK_DOUBLE_FAULT; i < CPU_STACKS; i++) {
        cpu->task_state.ist[i - 1] = cpu_stack_top(cpu, (enum cpu_stack)i);
    }
    cpu->task_state.io_map_base = sizeof(cpu->task_state);

    /* Present, 64-bit code; present, writable data; available 64-bit TSS (SDM 3A, 3.4.5, 7.2.3). */
    cpu->gdt[SELECTOR_CODE / 8] = 0x00af9b000000ffffULL;
    cpu->gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffffULL;
    cpu->gdt[SELECTOR_TASK / 8] =
        task_limit | (task_base & 0xffffff) << 16 | 0x89ULL << 40 | (task_base >> 24 & 0xff) << 56;
    cpu->gdt[SELECTOR_TASK / 8 + 1] = task_base >> 32;
    return true;
}

void cpu_build_idt(void)
{
    /* Faults that may come with a broken stack, or at any instruction, bring their own. */
    static const uint8_t own_stack[IDT_ENTRIES] = {
        [VECTOR_DOUBLE_FAULT] = CPU_STACK_DOUBLE_FAULT,
        [VECTOR_NMI] = CPU_STACK_NMI,
        [VECTOR_MACHINE_CHECK] = CPU_STACK_MACHINE_CHECK,
    };

    for (unsigned vector = 0; vector < IDT_ENTRIES; vector++) {
        uintptr_t stub = (uintptr_t)exception_stubs + (uintptr_t)vector * EXCEPTION_STUB_SIZE;

        idt[vector] = (struct gate){
            .offset_low = (uint16_t)stub,
            .selector = SELECTOR_CODE,
            .ist = own_stack[vector],
            .type = 0x8e, /* present 64-bit interrupt gate */
            .offset_middle = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
        };
    }
}

void cpu_load(struct cpu *cpu)
{
    const struct descriptor_table gdt = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
    const struct descriptor_table table = {sizeof(idt) - 1, (uintptr_t)idt};

    load_gdt(&gdt);
    load_segments(SELECTOR_CODE, SELECTOR_DATA);
    /* LTR refuses a TSS that is marked busy, as it is when a CPU is loaded a second time. */
    cpu->gdt[SELECTOR_TASK / 8] &= ~(1ULL << 41);
    load_task_register(SELECTOR_TASK);
    load_idt(&table);
    write_msr(MSR_GS_BASE, (uintptr_t)cpu);
}
