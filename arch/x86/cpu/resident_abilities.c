/* Which of a guest's resident state there is, and how to clear what it leaves, by CPUID alone. */
#include "arch/x86/cpu/resident_abilities.h"

#include "arch/x86/cpu/amd_errata.h"

#define CPUID_7_EDX_MD_CLEAR           (1U << 10)
#define CPUID_7_EDX_IBRS               (1U << 26)
#define CPUID_7_EDX_STIBP              (1U << 27)
#define CPUID_7_EDX_FLUSH_L1D          (1U << 28)
#define CPUID_7_EDX_SSBD               (1U << 31)
#define CPUID_EXT_1_EDX_RDTSCP         (1U << 27)
#define CPUID_EXT_8_EBX_POINTERS       (1U << 2) /* RstrFpErrPtrs */
#define CPUID_EXT_8_EBX_IBPB           (1U << 12)
#define CPUID_EXT_8_EBX_SPEC_CTRL      (1U << 14 | 1U << 15 | 1U << 24)
#define CPUID_EXT_8_EBX_IBPB_RET       (1U << 30)
#define ARCH_CAPABILITIES_NO_L1TF      (1ULL << 0) /* RDCL_NO */
#define ARCH_CAPABILITIES_NO_L1D_FLUSH (1ULL << 3) /* at VM entry: somebody else sees to it */

/* What CPUID does not tell, and AMD's documents do. */
static void find_amd(struct resident_abilities *abilities, const struct cpu_model *cpu,
                     uint32_t ext_8)
{
    enum amd_core core = amd_core_find(cpu);

    if (cpu->vendor != CPU_AMD && cpu->vendor != CPU_HYGON) {
        return;
    }
    /* CVE-2022-23824, AMD-SB-1040. */
    abilities->keeps_return_stack =
        abilities->prediction_barrier && (ext_8 & CPUID_EXT_8_EBX_IBPB_RET) == 0;
    /* TSA (CVE-2024-36350, -36357; AMD-SB-7029); with older microcode VERW clears nothing. */
    abilities->clears_buffers |= cpu->vendor == CPU_AMD && cpu->family == 0x19;
    /* CVE-2023-20588, AMD-SB-7007. */
    abilities->keeps_quotient = core == AMD_CORE_ZEN_1 || core == AMD_CORE_HYGON;
    /* CVE-2006-1056; APM Vol. 3, appendix E. */
    abilities->keeps_x87_pointers = (ext_8 & CPUID_EXT_8_EBX_POINTERS) == 0;
}

void resident_abilities_find(struct resident_abilities *abilities,
                             struct cpuid_registers (*host)(uint32_t leaf, uint32_t subleaf),
                             uint64_t xcr0_allowed, uint64_t arch_capabilities)
{
    struct cpuid_registers leaf_0 = host(0, 0);
    struct cpuid_registers leaf_1 = host(1, 0);
    uint32_t leaf_7 = leaf_0.eax >= 7 ? host(7, 0).edx : 0;
    uint32_t last = host(0x80000000, 0).eax;
    uint32_t ext_1 = host(0x80000001, 0).edx;
    uint32_t ext_8 = last >= 0x80000008 ? host(0x80000008, 0).ebx : 0;
    struct cpu_model cpu = cpu_model_find(&leaf_0, &leaf_1, 0);
    bool leaks_l1 =
        (arch_capabilities & (ARCH_CAPABILITIES_NO_L1TF | ARCH_CAPABILITIES_NO_L1D_FLUSH)) == 0;

    *abilities = (struct resident_abilities){
        .xcr0 = xcr0_allowed,
        .tsc_aux = (ext_1 & CPUID_EXT_1_EDX_RDTSCP) != 0,
        .spec_ctrl = (leaf_7 & (CPUID_7_EDX_IBRS | CPUID_7_EDX_STIBP | CPUID_7_EDX_SSBD)) != 0 ||
                     (ext_8 & CPUID_EXT_8_EBX_SPEC_CTRL) != 0,
        .prediction_barrier =
            (leaf_7 & CPUID_7_EDX_IBRS) != 0 || (ext_8 & CPUID_EXT_8_EBX_IBPB) != 0,
        .clears_buffers = (leaf_7 & CPUID_7_EDX_MD_CLEAR) != 0,
        .flushes_cache = (leaf_7 & CPUID_7_EDX_FLUSH_L1D) != 0 && leaks_l1,
    };
    find_amd(abilities, &cpu, ext_8);
}
