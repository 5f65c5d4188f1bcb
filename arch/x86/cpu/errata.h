/* Faults of processors that a guest could turn against the machine or the hypervisor. */
#ifndef ARCH_X86_CPU_ERRATA_H
#define ARCH_X86_CPU_ERRATA_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/cpu_quirks.h"

/* What CPUID and the MSRs say of a CPU. */
struct cpu_facts {
    struct cpu_model model;
    uint32_t leaf_7_ebx; /* CPUID.7.0, 0 if there is none */
    uint32_t leaf_7_edx;
    uint32_t leaf_7_2_edx;      /* CPUID.7.2 */
    uint32_t ext_1_ecx;         /* CPUID.80000001H */
    uint32_t ext_8_ebx;         /* CPUID.80000008H */
    uint32_t ext_21_eax;        /* CPUID.80000021H */
    uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES, 0 if there is none (SDM Vol. 4, 2.1) */
};

/* What is done on each way into a guest and out of it. entry.asm knows the numbers too. */
#define DEFENCE_CLEAR_BUFFERS (1U << 0) /* VERW, last before the entry */
#define DEFENCE_FLUSH_CACHE   (1U << 1) /* IA32_FLUSH_CMD.L1D_FLUSH before the entry */
#define DEFENCE_FILL_RETURNS  (1U << 2) /* the return predictor filled, first after the exit */
#define DEFENCE_BARRIER       (1U << 3) /* IBPB, before that */
#define DEFENCE_RESTRICT      (1U << 4) /* IBRS in the hypervisor, the guest's value in the guest */

/*
 * Whether a guest that changes the page size of code that it runs can stop the machine by a machine
 * check (CVE-2018-12207): then nothing that it may execute must be mapped for it in large pages.
 */
bool errata_itlb_multihit(const struct cpu_facts *facts);

/*
 * The DEFENCE_ bits: what keeps a guest from seeing what its CPU handled before, for others too,
 * and from leading the hypervisor's speculation, of what this CPU needs and can do. Faults that
 * take a device's own registers to exploit (MMIO stale data) do not count, for guests have none;
 * nor do hyperthreads, for these take more.
 */
unsigned errata_defences(const struct cpu_facts *facts);

/* What IA32_SPEC_CTRL has while the hypervisor runs with DEFENCE_RESTRICT. */
uint64_t errata_host_spec_ctrl(const struct cpu_facts *facts);

/* Whether the hypervisor should run with EFER.AIBRSE (APM Vol. 2, 3.2.9): AMD's automatic IBRS. */
bool errata_automatic_ibrs(const struct cpu_facts *facts);

#endif
