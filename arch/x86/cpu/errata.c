/* Which faults a CPU has, by its model and by what it says of itself. */
#include "arch/x86/cpu/errata.h"

#include <stddef.h>

/* CPUID.7.0 (SDM Vol. 2A, CPUID). */
#define LEAF_7_EBX_RTM       (1U << 11)
#define LEAF_7_EDX_MD_CLEAR  (1U << 10)
#define LEAF_7_EDX_IBRS      (1U << 26)
#define LEAF_7_EDX_FLUSH_L1D (1U << 28)
/* CPUID.7.2. */
#define LEAF_7_2_EDX_BHI_CTRL (1U << 4)

/* CPUID.80000001H, 80000008H and 80000021H (APM Vol. 3, E.4). */
#define EXT_1_ECX_SVM             (1U << 2)
#define EXT_8_EBX_IBPB            (1U << 12)
#define EXT_21_EAX_AUTOMATIC_IBRS (1U << 8)
#define EXT_21_EAX_SRSO_NO        (1U << 29)

/* IA32_SPEC_CTRL (SDM Vol. 4, 2.1). */
#define SPEC_CTRL_IBRS      (1ULL << 0)
#define SPEC_CTRL_BHI_DIS_S (1ULL << 10)

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
    /* TSA (AMD-SB-7029): Zen 3 and 4; with older microcode VERW clears nothing. */
    bool scheduling = facts->model.vendor == CPU_AMD && facts->model.family == 0x19;

    return ((facts->leaf_7_edx & LEAF_7_EDX_MD_CLEAR) != 0 && sampling) || scheduling ||
           (capabilities & (RFDS_NO | RFDS_CLEAR)) == RFDS_CLEAR;
}

/* L1TF (INTEL-SA-00161). AMD's processors announce the flush too, but do not have the fault. */
static bool cache_leaks(const struct cpu_facts *facts)
{
    return facts->model.vendor == CPU_INTEL && (facts->leaf_7_edx & LEAF_7_EDX_FLUSH_L1D) != 0 &&
           (facts->arch_capabilities & (RDCL_NO | SKIP_L1DFL_VMENTRY)) == 0;
}

bool errata_automatic_ibrs(const struct cpu_facts *facts)
{
    return (facts->ext_21_eax & EXT_21_EAX_AUTOMATIC_IBRS) != 0;
}

/*
 * AMD's, by Spectre v2, Retbleed (AMD-SB-1037) and SRSO (AMD-SB-7005): only from the barrier on
 * does nothing that the guest trained count, returns included; it may leave the return predictor as
 * it is. IBRS alone would do for indirect branches only, and does where it is automatic and the
 * processor says that its returns are safe.
 */
static unsigned svm_predictor_defences(const struct cpu_facts *facts)
{
    if ((facts->ext_8_ebx & EXT_8_EBX_IBPB) == 0) {
        return 0;
    }
    bool safe = errata_automatic_ibrs(facts) && (facts->ext_21_eax & EXT_21_EAX_SRSO_NO) != 0;

    return DEFENCE_FILL_RETURNS | (safe ? 0 : DEFENCE_BARRIER);
}

/*
 * Intel's: once IBRS is written after the exit, no indirect branch goes where the guest wanted it,
 * nor a return that finds its predictor empty (Intel, "Indirect Branch Restricted Speculation").
 */
static unsigned predictor_defences(const struct cpu_facts *facts)
{
    if ((facts->ext_1_ecx & EXT_1_ECX_SVM) != 0) {
        return svm_predictor_defences(facts);
    }
    return (facts->leaf_7_edx & LEAF_7_EDX_IBRS) != 0 ? DEFENCE_FILL_RETURNS | DEFENCE_RESTRICT : 0;
}

unsigned errata_defences(const struct cpu_facts *facts)
{
    return (buffers_leak(facts) ? DEFENCE_CLEAR_BUFFERS : 0) |
           (cache_leaks(facts) ? DEFENCE_FLUSH_CACHE : 0) | predictor_defences(facts);
}

uint64_t errata_host_spec_ctrl(const struct cpu_facts *facts)
{
    return SPEC_CTRL_IBRS |
           ((facts->leaf_7_2_edx & LEAF_7_2_EDX_BHI_CTRL) != 0 ? SPEC_CTRL_BHI_DIS_S : 0);
}
