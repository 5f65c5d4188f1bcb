/* The machine's other CPUs: finding them while the firmware is there, starting them afterwards. */
#ifndef ARCH_X86_BOOT_CPUS_H
#define ARCH_X86_BOOT_CPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/page_table.h"

/* Where a started CPU goes; it never comes back. It has its stack, and no tables of its own yet. */
typedef void (*cpu_entry)(struct cpu *cpu);

/*
 * Takes the page below 1 MiB that start-up interrupts need. Needs boot services. False if the
 * firmware has none to give.
 */
bool cpus_prepare(void);

/*
 * Fills that page: started CPUs load `table`, which must lie below 4 GiB, and go to `entry`. While
 * the firmware's page tables are in use, for in ours the page is read-only.
 */
void cpus_set_entry(const struct page_table *table, cpu_entry entry);

/*
 * Starts one CPU, by INIT and start-up interrupts (SDM Vol. 3A, 9.4.4). `frequency` is the TSC's,
 * in Hz. The caller waits for a sign of life from `entry`; one CPU at a time.
 */
void cpus_start(struct cpu *cpu, uint64_t frequency);

#endif
