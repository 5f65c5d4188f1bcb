/* Faults of processors that a guest could turn against the machine or the hypervisor. */
#ifndef ARCH_X86_CPU_ERRATA_H
#define ARCH_X86_CPU_ERRATA_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/cpu_quirks.h"

/* What CPUID and the MSRs say of a CPU. */
struct cpu_facts {
    struct cpu_model model;
    uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES, 0 if there is none (SDM Vol. 4, 2.1) */
};

/*
 * Whether a guest that changes the page size of code that it runs can stop the machine by a machine
 * check (CVE-2018-12207): then nothing that it may execute must be mapped for it in large pages.
 */
bool errata_itlb_multihit(const struct cpu_facts *facts);

#endif
