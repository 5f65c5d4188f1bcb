/* Everything of a run, in one piece; made while the firmware still gives memory. */
#ifndef ARCH_X86_BOOT_SEEDVISOR_H
#define ARCH_X86_BOOT_SEEDVISOR_H

#include "arch/x86/boot/guests.h"
#include "arch/x86/boot/sources.h"
#include "arch/x86/cpu/page_table.h"
#include "arch/x86/guest/cpu_policy.h"
#include "arch/x86/host/host.h"
#include "vmm/arena.h"
#include "vmm/config.h"
#include "vmm/cpu_loop.h"
#include "vmm/monitor.h"
#include "vmm/placement.h"
#include "vmm/schedule.h"
#include "vmm/wall_clock.h"

#define SEEDVISOR_CPUS  PLACEMENT_CPUS
#define SEEDVISOR_VCPUS (CONFIG_GUESTS * MACHINE_VCPUS)

/* How far a CPU has come; each step is made by one side and awaited by the other. */
enum cpu_stage {
    CPU_STOPPED,  /* in the firmware's keeping */
    CPU_PREPARED, /* virtualisation on, its vCPUs made */
    CPU_FAILED,   /* the log says why */
    CPU_FINISHED, /* its vCPUs have run for the last time */
};

struct seedvisor {
    struct config config;
    struct guest guests[CONFIG_GUESTS];
    const struct virtualization *virtualization;
    struct cpu_policy policy;
    struct wall_clock clock;
    struct sources sources;
    struct arena arena;
    struct page_table page_table;
    struct host host;
    struct monitor monitor;
    struct run run;
    struct vm *vms[CONFIG_GUESTS]; /* of the guests, for the run */
    struct spin_lock reports;      /* of theirs */
    struct schedule schedules[SEEDVISOR_CPUS];
    uint8_t homes[SEEDVISOR_VCPUS]; /* CPUs of the vCPUs, guest after guest */
    uint32_t apic_ids[SEEDVISOR_CPUS];
    uint32_t stages[SEEDVISOR_CPUS]; /* enum cpu_stage, by CPU; atomic */
    bool go;                         /* every CPU is prepared: run the guests; atomic */
};

/*
 * Takes the machine and runs the guests to their end, then switches it off. On the first CPU's own
 * stack, after boot services were left.
 */
_Noreturn void seedvisor_run(struct seedvisor *seedvisor);

/* Where every CPU but the first comes in from trampoline.asm, on its own stack. */
_Noreturn void seedvisor_enter_cpu(struct cpu *cpu);

#endif
