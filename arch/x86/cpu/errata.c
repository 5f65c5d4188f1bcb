/* Which faults a CPU has, by its model and by what it says of itself. */
#include "arch/x86/cpu/errata.h"

#include <stddef.h>

/* CPUID.7.0 (SDM Vol. 2A, CPUID). */
#define LEAF_7_EBX_RTM       (1U << 11)
#define LEAF_7_EDX_MD_CLEAR  (1U << 10)
#define LEAF_7_EDX_FLUSH_L1D (1U << 28)

/* IA32_ARCH_CAPABILITIES (SDM Vol. 4, 2.1). */
#define RDCL_NO            (1ULL << 0)
#define SKIP_L1DFL_VMENTRY (1ULL << 3) /* the hypervisor below sees to it */
#define MDS_NO             (1ULL << 5)
#define PSCHANGE_MC_NO     (1ULL << 6)
#define TSX_CTRL           (1ULL << 7)
#define TAA_NO             (1ULL << 8)
#define RFDS_NO            (1ULL << 27)
#define RFDS_CLEAR         (1ULL << 28)

/* Of family 6: what does not have the fault and is older than the bit that says so (INTEL-SA-00210;
 * Linux goes by the same list). */
static const uint8_t without_multihit[] = {
    0x37, 0x4a, 0x4c, 0x4d, 0x5a, 0x75, /* Silvermont, Airmont */
    0x57, 0x85,                         /* Xeon Phi */
    0x5c, 0x5f, 0x7a, 0x86,             /* Goldmont, Goldmont Plus, Tremont D */
};

/*
 * Whether the machine is virtual does not count: a hypervisor below that is safe says so by the
 * same bit (KVM does), and one that does not say so may put our large pages into its own tables.
 */
bool errata_itlb_multihit(const struct cpu_facts *facts)
{
    if (facts->model.vendor != CPU_INTEL || (facts->arch_capabilities & PSCHANGE_MC_NO) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(without_multihit) / sizeof(without_multihit[0]); i++) {
        if (facts->model.family == 6 && facts->model.model == without_multihit[i]) {
            return false;
        }
    }
    return true;
}

/* Each of the faults that VERW is the remedy for, and whether this CPU's VERW is it. */
static bool buffers_leak(const struct cpu_facts *facts)
{
    uint64_t capabilities = facts->arch_capabilities;
    bool has_tsx = (facts->leaf_7_ebx & LEAF_7_EBX_RTM) != 0 || (capabilities & TSX_CTRL) != 0;
    bool sampling = (capabilities & MDS_NO) == 0 || (has_tsx && (capabilities & TAA_NO) == 0);

    return ((facts->leaf_7_edx & LEAF_7_EDX_MD_CLEAR) != 0 && sampling) ||
           (capabilities & (RFDS_NO | RFDS_CLEAR)) == RFDS_CLEAR;
}

/* L1TF (INTEL-SA-00161). AMD's processors announce the flush too, but do not have the fault. */
static bool cache_leaks(const struct cpu_facts *facts)
{
    return facts->model.vendor == CPU_INTEL && (facts->leaf_7_edx & LEAF_7_EDX_FLUSH_L1D) != 0 &&
           (facts->arch_capabilities & (RDCL_NO | SKIP_L1DFL_VMENTRY)) == 0;
}

unsigned errata_defences(const struct cpu_facts *facts)
{
    return (buffers_leak(facts) ? DEFENCE_CLEAR_BUFFERS : 0) |
           (cache_leaks(facts) ? DEFENCE_FLUSH_CACHE : 0);
}
