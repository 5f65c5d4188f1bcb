/* One CPU of the machine: its descriptor tables, its stacks, and the vCPU it is running. */
#ifndef ARCH_X86_CPU_CPU_H
#define ARCH_X86_CPU_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arena.h"

struct vcpu;

/* Stack sizes; each stack has an unmapped guard page below it. */
#define CPU_STACK_SIZE           0x8000U
#define CPU_EXCEPTION_STACK_SIZE 0x2000U

/* Stacks that the processor switches to by itself (SDM Vol. 3A, 6.14.5). */
enum cpu_stack {
    CPU_STACK_MAIN,
    CPU_STACK_DOUBLE_FAULT,
    CPU_STACK_NMI,
    CPU_STACK_MACHINE_CHECK,
    CPU_STACKS
};

/* SDM Vol. 3A, 7.7. */
struct task_state_segment {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TASK 0x18
#define GDT_ENTRIES   5 /* null, code, data, and a TSS descriptor of two entries */

struct cpu {
    struct cpu *self; /* first: GS:0 */
    unsigned index;
    uint32_t apic_id;
    struct vcpu *vcpu; /* whose state is here, or NULL; atomic: others may ask */
    bool kicked;       /* by itself: to look at its vCPUs again */
    bool called;       /* by others, for the same; atomic */
    uint64_t gdt[GDT_ENTRIES];
    struct task_state_segment task_state;
    uint8_t *stacks[CPU_STACKS]; /* lowest address of each; a guard page lies below */
    uint64_t armed_deadline;     /* what the APIC timer is set to */
    uint64_t next_work;          /* TSC when host_work() has something to do again */
    uint64_t nmis;               /* taken on this CPU */
};

/* The CPU that runs this. Valid after cpu_load(). */
struct cpu *current_cpu(void);

/*
 * Fills in a CPU's tables and gives it stacks. False if the arena is exhausted. The page below
 * each stack is the caller's to leave unmapped: cpu_guard_page() names it.
 */
bool cpu_init(struct cpu *cpu, unsigned index, uint32_t apic_id, struct arena *arena);
uint64_t cpu_guard_page(const struct cpu *cpu, enum cpu_stack stack);

/* The first address above a stack. */
uint64_t cpu_stack_top(const struct cpu *cpu, enum cpu_stack stack);

/* Makes the interrupt descriptor table that all CPUs share. Once, before the first cpu_load(). */
void cpu_build_idt(void);

/* Makes this CPU `cpu`: loads its descriptor tables, task register and GS base. */
void cpu_load(struct cpu *cpu);

#endif
