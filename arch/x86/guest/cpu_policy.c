/*
 * What a guest is told of its CPU. A feature is one row; CPUID, the CR4 bits it may set and the
 * MSRs that go with it all follow from the rows, so they cannot disagree. What has no row is
 * hidden: a feature of a future CPU is not shown before somebody has thought about it.
 */
#include "arch/x86/guest/cpu_policy.h"

#include <stddef.h>

#include "arch/x86/cpu/registers.h"
#include "vmm/virtualization.h"

enum cpuid_register { EAX, EBX, ECX, EDX };

/* A feature is shown if the machine has it, unless it is ours to give: then always. */
enum origin { HOST, GIVEN };

struct feature {
    uint32_t leaf;
    uint8_t subleaf;
    uint8_t reg;
    uint8_t bit;
    uint8_t origin;
    uint8_t instructions; /* GUEST_HAS_ bit it needs, or 0 */
    uint64_t cr4;         /* CR4 bits that come with it */
    const char *name;
};

/* SDM Vol. 2A, CPUID; APM Vol. 3, appendix E. */
static const struct feature features[] = {
    {1, 0, ECX, 0, HOST, 0, 0, "SSE3"},
    {1, 0, ECX, 1, HOST, 0, 0, "PCLMULQDQ"},
    {1, 0, ECX, 9, HOST, 0, 0, "SSSE3"},
    {1, 0, ECX, 12, HOST, 0, 0, "FMA"},
    {1, 0, ECX, 13, HOST, 0, 0, "CMPXCHG16B"},
    {1, 0, ECX, 17, HOST, 0, CR4_PCIDE, "PCID"},
    {1, 0, ECX, 19, HOST, 0, 0, "SSE4.1"},
    {1, 0, ECX, 20, HOST, 0, 0, "SSE4.2"},
    {1, 0, ECX, 21, GIVEN, 0, 0, "x2APIC"},
    {1, 0, ECX, 22, HOST, 0, 0, "MOVBE"},
    {1, 0, ECX, 23, HOST, 0, 0, "POPCNT"},
    {1, 0, ECX, 24, GIVEN, 0, 0, "TSC-deadline timer"},
    {1, 0, ECX, 25, HOST, 0, 0, "AES"},
    {1, 0, ECX, 26, HOST, 0, CR4_OSXSAVE, "XSAVE"},
    {1, 0, ECX, 28, HOST, 0, 0, "AVX"},
    {1, 0, ECX, 29, HOST, 0, 0, "F16C"},
    {1, 0, ECX, 30, HOST, GUEST_HAS_RDRAND, 0, "RDRAND"},
    {1, 0, ECX, 31, GIVEN, 0, 0, "running under a hypervisor"},
    {1, 0, EDX, 0, HOST, 0, 0, "x87"},
    {1, 0, EDX, 1, HOST, 0, CR4_VME | CR4_PVI, "VME"},
    {1, 0, EDX, 2, HOST, 0, CR4_DE, "debugging extensions"},
    {1, 0, EDX, 3, HOST, 0, CR4_PSE, "4 MiB pages"},
    {1, 0, EDX, 4, HOST, 0, CR4_TSD, "TSC"},
    {1, 0, EDX, 5, HOST, 0, 0, "RDMSR and WRMSR"},
    {1, 0, EDX, 6, HOST, 0, CR4_PAE, "PAE"},
    {1, 0, EDX, 8, HOST, 0, 0, "CMPXCHG8B"},
    {1, 0, EDX, 9, GIVEN, 0, 0, "local APIC"},
    {1, 0, EDX, 11, HOST, 0, 0, "SYSENTER"},
    {1, 0, EDX, 13, HOST, 0, CR4_PGE, "global pages"},
    {1, 0, EDX, 15, HOST, 0, 0, "CMOV"},
    {1, 0, EDX, 16, HOST, 0, 0, "PAT"},
    {1, 0, EDX, 17, HOST, 0, 0, "PSE-36"},
    {1, 0, EDX, 19, HOST, 0, 0, "CLFLUSH"},
    {1, 0, EDX, 23, HOST, 0, 0, "MMX"},
    {1, 0, EDX, 24, HOST, 0, CR4_OSFXSR, "FXSAVE"},
    {1, 0, EDX, 25, HOST, 0, CR4_OSXMMEXCPT, "SSE"},
    {1, 0, EDX, 26, HOST, 0, 0, "SSE2"},
    /* The APIC timer goes on in deep idle, for our virtual one does: else Linux mistrusts it. */
    {6, 0, EAX, 2, GIVEN, 0, 0, "always running APIC timer"},
    {7, 0, EBX, 0, HOST, 0, CR4_FSGSBASE, "FSGSBASE"},
    {7, 0, EBX, 3, HOST, 0, 0, "BMI1"},
    {7, 0, EBX, 5, HOST, 0, 0, "AVX2"},
    {7, 0, EBX, 7, HOST, 0, CR4_SMEP, "SMEP"},
    {7, 0, EBX, 8, HOST, 0, 0, "BMI2"},
    {7, 0, EBX, 9, HOST, 0, 0, "fast REP MOVSB"},
    {7, 0, EBX, 10, HOST, GUEST_HAS_INVPCID, 0, "INVPCID"},
    {7, 0, EBX, 18, HOST, GUEST_HAS_RDSEED, 0, "RDSEED"},
    {7, 0, EBX, 19, HOST, 0, 0, "ADX"},
    {7, 0, EBX, 20, HOST, 0, CR4_SMAP, "SMAP"},
    {7, 0, EBX, 23, HOST, 0, 0, "CLFLUSHOPT"},
    {7, 0, EBX, 24, HOST, 0, 0, "CLWB"},
    {7, 0, EBX, 29, HOST, 0, 0, "SHA"},
    {7, 0, ECX, 2, HOST, 0, CR4_UMIP, "UMIP"},
    {7, 0, ECX, 8, HOST, 0, 0, "GFNI"},
    {7, 0, ECX, 9, HOST, 0, 0, "VAES"},
    {7, 0, ECX, 10, HOST, 0, 0, "VPCLMULQDQ"},
    {7, 0, ECX, 22, HOST, GUEST_HAS_RDTSCP, 0, "RDPID"},
    {7, 0, EDX, 10, HOST, 0, 0, "MD_CLEAR"},
    {7, 0, EDX, 26, HOST, 0, 0, "IBRS and IBPB"},
    {7, 0, EDX, 27, HOST, 0, 0, "STIBP"},
    {7, 0, EDX, 29, HOST, 0, 0, "IA32_ARCH_CAPABILITIES"},
    {7, 0, EDX, 31, HOST, 0, 0, "SSBD"},
    {0xd, 1, EAX, 0, HOST, 0, 0, "XSAVEOPT"},
    {0xd, 1, EAX, 1, HOST, 0, 0, "XSAVEC"},
    {0xd, 1, EAX, 2, HOST, 0, 0, "XGETBV of 1"},
    {0x80000001, 0, ECX, 0, HOST, 0, 0, "LAHF in 64-bit mode"},
    {0x80000001, 0, ECX, 4, HOST, 0, 0, "CR8 in 32-bit mode"},
    {0x80000001, 0, ECX, 5, HOST, 0, 0, "LZCNT"},
    {0x80000001, 0, ECX, 6, HOST, 0, 0, "SSE4a"},
    {0x80000001, 0, ECX, 7, HOST, 0, 0, "misaligned SSE"},
    {0x80000001, 0, ECX, 8, HOST, 0, 0, "PREFETCHW"},
    {0x80000001, 0, EDX, 11, HOST, 0, 0, "SYSCALL"},
    {0x80000001, 0, EDX, 20, HOST, 0, 0, "NX"},
    {0x80000001, 0, EDX, 22, HOST, 0, 0, "MMX extensions"},
    {0x80000001, 0, EDX, 26, HOST, 0, 0, "1 GiB pages"},
    {0x80000001, 0, EDX, 27, HOST, GUEST_HAS_RDTSCP, 0, "RDTSCP"},
    {0x80000001, 0, EDX, 29, HOST, 0, 0, "long mode"},
    /* Every CPU with RDSEED has one; emulators that do not say so count evenly all the same. */
    {0x80000007, 0, EDX, 8, GIVEN, 0, 0, "invariant TSC"},
    {0x80000008, 0, EBX, 12, HOST, 0, 0, "IBPB (AMD)"},
    {0x80000008, 0, EBX, 14, HOST, 0, 0, "IBRS (AMD)"},
    {0x80000008, 0, EBX, 15, HOST, 0, 0, "STIBP (AMD)"},
    {0x80000008, 0, EBX, 24, HOST, 0, 0, "SSBD (AMD)"},
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

/* The leaves that the features are in; the index is that of cpu_policy.shown. */
static const struct {
    uint32_t leaf;
    uint8_t subleaf;
} feature_leaves[CPU_POLICY_LEAVES] = {
    {1, 0}, {6, 0}, {7, 0}, {0xd, 1}, {0x80000001, 0}, {0x80000007, 0}, {0x80000008, 0},
};

enum { LEAF_1, LEAF_6, LEAF_7, LEAF_D_1, LEAF_EXT_1, LEAF_EXT_7, LEAF_EXT_8 };

#define LEAF_BASIC_LAST    0x15U
#define LEAF_HYPERVISOR    0x40000000U
#define LEAF_EXTENDED_LAST 0x80000008U

/* KVM's signature and the features of its interface that we implement (Linux's kvm/cpuid.rst). */
#define KVM_SIGNATURE_EBX 0x4b4d564bU /* "KVMKVMKVM" */
#define KVM_SIGNATURE_ECX 0x564b4d56U
#define KVM_SIGNATURE_EDX 0x0000004dU
#define KVM_NO_IO_DELAY   (1U << 1) /* port 0x80 need not be written to wait */
#define KVM_CLOCK         (1U << 3) /* MSRs 0x4b564d00 and 0x4b564d01 */
#define KVM_PV_EOI        (1U << 6) /* MSR 0x4b564d04 */
#define KVM_CLOCK_STABLE  (1U << 24)

/* State components: x87, SSE, AVX (SDM Vol. 1, 13.1). Larger ones are not shown. */
#define XCR0_X87 1ULL
#define XCR0_SSE 2ULL
#define XCR0_AVX 4ULL

#define CPUID_1_ECX_XSAVE   (1U << 26)
#define CPUID_1_ECX_OSXSAVE (1U << 27)
#define CPUID_1_ECX_AVX     (1U << 28)
#define CPUID_1_EDX_HTT     (1U << 28)

#define CPUID_EXT_1_ECX_CMP_LEGACY (1U << 1)

/* CPUID leaf 0, EBX: "Auth" and "Hygo". */
#define AMD_SIGNATURE_EBX   0x68747541U
#define HYGON_SIGNATURE_EBX 0x6f677948U

/*
 * Bits of IA32_ARCH_CAPABILITIES that say what the processor is affected by, or what clears it:
 * true for a guest if for the machine. Not shown are those that announce another MSR, or bits of
 * one, that a guest does not have: 7, 9-12, 16, 18, 21, 23, 25 (SDM Vol. 4, table 2-2).
 */
#define ARCH_CAPABILITIES_SHOWN 0x400000001d1ae17fULL

static uint32_t *register_of(struct cpuid_registers *registers, unsigned number)
{
    uint32_t *const all[] = {&registers->eax, &registers->ebx, &registers->ecx, &registers->edx};

    return all[number];
}

static unsigned leaf_index(uint32_t leaf)
{
    unsigned i = 0;

    while (feature_leaves[i].leaf != leaf) {
        i++;
    }
    return i;
}

static struct cpuid_registers host_cpuid(const struct cpu_policy *policy, uint32_t leaf,
                                         uint32_t subleaf)
{
    struct cpuid_registers none = {0};

    /* Beyond the last leaf Intel CPUs answer with the last leaf's data (SDM Vol. 2A, CPUID). */
    return leaf <= policy->host(leaf & 0x80000000U, 0).eax ? policy->host(leaf, subleaf) : none;
}

void cpu_policy_init(struct cpu_policy *policy)
{
    struct cpuid_registers host[CPU_POLICY_LEAVES];

    policy->cr4_allowed = CR4_MCE | CR4_PCE;
    for (unsigned i = 0; i < CPU_POLICY_LEAVES; i++) {
        host[i] = host_cpuid(policy, feature_leaves[i].leaf, feature_leaves[i].subleaf);
        policy->shown[i] = (struct cpuid_registers){0};
    }
    for (size_t i = 0; i < FEATURES; i++) {
        const struct feature *feature = &features[i];
        unsigned leaf = leaf_index(feature->leaf);
        uint32_t bit = 1U << feature->bit;
        bool there = feature->origin == GIVEN || (*register_of(&host[leaf], feature->reg) & bit);

        if (there && (feature->instructions & ~policy->instructions) == 0) {
            *register_of(&policy->shown[leaf], feature->reg) |= bit;
            policy->cr4_allowed |= feature->cr4;
        }
    }
    policy->basic = policy->host(0, 0);
    policy->basic.eax = LEAF_BASIC_LAST;
    policy->extended = policy->host(0x80000000U, 0);
    policy->extended.eax = LEAF_EXTENDED_LAST;
    policy->xcr0_allowed = 0;
    if ((policy->shown[LEAF_1].ecx & CPUID_1_ECX_XSAVE) != 0) {
        policy->xcr0_allowed = XCR0_X87 | XCR0_SSE |
                               ((policy->shown[LEAF_1].ecx & CPUID_1_ECX_AVX) != 0 ? XCR0_AVX : 0);
    }
}

static struct cpuid_registers leaf_basic(const struct cpu_policy *policy,
                                         const struct cpuid_context *context)
{
    struct cpuid_registers host = policy->host(1, 0);
    struct cpuid_registers answer = policy->shown[LEAF_1];

    answer.eax = host.eax;
    answer.ebx = context->apic_id << 24 | (context->vcpu_count & 0xff) << 16 | (host.ebx & 0xff00);
    if (context->vcpu_count > 1) {
        answer.edx |= CPUID_1_EDX_HTT;
    }
    if ((context->cr4 & CR4_OSXSAVE) != 0) {
        answer.ecx |= CPUID_1_ECX_OSXSAVE;
    }
    return answer;
}

/* To AMD's, HTT without CmpLegacy would mean threads of a core (APM Vol. 3, appendix E). */
static struct cpuid_registers leaf_extended_basic(const struct cpu_policy *policy,
                                                  const struct cpuid_context *context)
{
    struct cpuid_registers answer = policy->shown[LEAF_EXT_1];
    bool amd = policy->basic.ebx == AMD_SIGNATURE_EBX || policy->basic.ebx == HYGON_SIGNATURE_EBX;

    if (amd && context->vcpu_count > 1) {
        answer.ecx |= CPUID_EXT_1_ECX_CMP_LEGACY;
    }
    return answer;
}

/* Every vCPU has its caches for itself: no sharing, one core per package as far as this leaf goes.
 */
static struct cpuid_registers leaf_caches(const struct cpu_policy *policy, uint32_t subleaf)
{
    struct cpuid_registers answer = host_cpuid(policy, 4, subleaf);

    answer.eax &= 0x3fff;
    return answer;
}

/* One thread per core, all cores in one package (SDM Vol. 3A, 9.9). */
static struct cpuid_registers leaf_topology(const struct cpuid_context *context, uint32_t subleaf)
{
    struct cpuid_registers answer = {.ecx = subleaf & 0xff, .edx = context->apic_id};

    if (subleaf == 0) {
        answer.ebx = 1;
        answer.ecx |= 1U << 8; /* thread level */
    } else if (subleaf == 1) {
        while (1U << answer.eax < context->vcpu_count) {
            answer.eax++;
        }
        answer.ebx = context->vcpu_count;
        answer.ecx |= 2U << 8; /* core level */
    }
    return answer;
}

/* SDM Vol. 1, 13.2. Sub-leaf 0 EBX is the size for the XCR0 in force, which is the guest's own. */
static struct cpuid_registers leaf_xsave(const struct cpu_policy *policy, uint32_t subleaf)
{
    struct cpuid_registers answer = {0};

    if (policy->xcr0_allowed == 0) {
        return answer;
    }
    if (subleaf == 0) {
        answer = policy->host(0xd, 0);
        answer.eax = (uint32_t)policy->xcr0_allowed;
        answer.ecx = 576; /* legacy region and header */
        if ((policy->xcr0_allowed & XCR0_AVX) != 0) {
            struct cpuid_registers avx = policy->host(0xd, 2);

            answer.ecx = avx.ebx + avx.eax;
        }
        answer.edx = 0;
    } else if (subleaf == 1) {
        answer.eax = policy->shown[LEAF_D_1].eax;
        answer.ebx = policy->host(0xd, 1).ebx;
    } else if (subleaf < 64 && (policy->xcr0_allowed >> subleaf & 1) != 0) {
        answer = policy->host(0xd, subleaf);
    }
    return answer;
}

/*
 * TSC frequency = ECX * EBX / EAX. With a ratio of 1 the "crystal" that Linux takes for the APIC
 * timer's input clock is the TSC, and so it is in our local APIC.
 */
static struct cpuid_registers leaf_tsc(const struct cpu_policy *policy)
{
    struct cpuid_registers answer = {0};

    if (policy->tsc_frequency <= UINT32_MAX) {
        answer =
            (struct cpuid_registers){.eax = 1, .ebx = 1, .ecx = (uint32_t)policy->tsc_frequency};
    }
    return answer;
}

static struct cpuid_registers leaf_hypervisor(uint32_t leaf)
{
    struct cpuid_registers answer = {0};

    if (leaf == LEAF_HYPERVISOR) {
        answer = (struct cpuid_registers){LEAF_HYPERVISOR + 1, KVM_SIGNATURE_EBX, KVM_SIGNATURE_ECX,
                                          KVM_SIGNATURE_EDX};
    } else if (leaf == LEAF_HYPERVISOR + 1) {
        answer.eax = KVM_NO_IO_DELAY | KVM_CLOCK | KVM_PV_EOI | KVM_CLOCK_STABLE;
    }
    return answer;
}

static struct cpuid_registers leaf_sizes(const struct cpu_policy *policy,
                                         const struct cpuid_context *context)
{
    struct cpuid_registers answer = policy->shown[LEAF_EXT_8];

    answer.eax = host_cpuid(policy, 0x80000008, 0).eax & 0xffff;
    answer.ecx = context->vcpu_count - 1;
    return answer;
}

struct cpuid_registers cpu_policy_cpuid(const struct cpu_policy *policy,
                                        const struct cpuid_context *context, uint32_t leaf,
                                        uint32_t subleaf)
{
    const struct cpuid_registers none = {0};

    switch (leaf) {
    case 0:
        return policy->basic;
    case 0x80000000:
        return policy->extended;
    case CPUID_LEAF_WITH_CR4:
        return leaf_basic(policy, context);
    case 4:
        return leaf_caches(policy, subleaf);
    case 6:
        return policy->shown[LEAF_6];
    case 7:
        return subleaf == 0 ? policy->shown[LEAF_7] : none;
    case 0xb:
        return leaf_topology(context, subleaf);
    case 0xd:
        return leaf_xsave(policy, subleaf);
    case 0x15:
        return leaf_tsc(policy);
    case LEAF_HYPERVISOR:
    case LEAF_HYPERVISOR + 1:
        return leaf_hypervisor(leaf);
    case 0x80000001:
        return leaf_extended_basic(policy, context);
    case 0x80000007:
        return policy->shown[LEAF_EXT_7];
    case 0x80000008:
        return leaf_sizes(policy, context);
    case 2:
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
    case 0x80000005:
    case 0x80000006:
        return host_cpuid(policy, leaf, 0); /* cache descriptors and the brand string */
    default:
        return none;
    }
}

bool cpu_policy_cr0_valid(uint64_t value)
{
    /* SDM Vol. 3A, 2.5: paging needs protection, not-write-through needs cache-disable. */
    return value >> 32 == 0 && ((value & CR0_PG) == 0 || (value & CR0_PE) != 0) &&
           ((value & CR0_NW) == 0 || (value & CR0_CD) != 0);
}

bool cpu_policy_cr4_valid(const struct cpu_policy *policy, uint64_t value)
{
    return (value & ~policy->cr4_allowed) == 0;
}

bool cpu_policy_xcr0_valid(const struct cpu_policy *policy, uint64_t value)
{
    /* SDM Vol. 1, 13.3: x87 always, AVX only with SSE. */
    return (value & XCR0_X87) != 0 && (value & ~policy->xcr0_allowed) == 0 &&
           ((value & XCR0_AVX) == 0 || (value & XCR0_SSE) != 0);
}

bool cpu_policy_efer_valid(const struct cpu_policy *policy, uint64_t value)
{
    uint32_t shown = policy->shown[LEAF_EXT_1].edx;
    uint64_t allowed = EFER_LMA | ((shown & 1U << 11) != 0 ? EFER_SCE : 0) |
                       ((shown & 1U << 20) != 0 ? EFER_NXE : 0) |
                       ((shown & 1U << 29) != 0 ? EFER_LME : 0);

    return (value & ~allowed) == 0;
}

struct passed_msr {
    uint32_t index;
    uint8_t rights;
    uint8_t leaf; /* feature leaf and bits of EBX or EDX of which one must be shown; 0: always */
    uint32_t ebx;
    uint32_t edx;
};

#define PASS_ALL (MSR_PASS_READ | MSR_PASS_WRITE)

/* State that belongs to whoever runs on the CPU; we use none of it while a guest lives there. */
static const struct passed_msr passed_msrs[] = {
    {MSR_TSC, MSR_PASS_READ, 0, 0, 0},
    {MSR_SYSENTER_CS, PASS_ALL, 0, 0, 0},
    {MSR_SYSENTER_ESP, PASS_ALL, 0, 0, 0},
    {MSR_SYSENTER_EIP, PASS_ALL, 0, 0, 0},
    {MSR_PAT, PASS_ALL, 0, 0, 0},
    {MSR_STAR, PASS_ALL, 0, 0, 0},
    {MSR_LSTAR, PASS_ALL, 0, 0, 0},
    {MSR_CSTAR, PASS_ALL, 0, 0, 0},
    {MSR_SYSCALL_MASK, PASS_ALL, 0, 0, 0},
    {MSR_FS_BASE, PASS_ALL, 0, 0, 0},
    {MSR_GS_BASE, PASS_ALL, 0, 0, 0},
    {MSR_KERNEL_GS_BASE, PASS_ALL, 0, 0, 0},
    {MSR_TSC_AUX, PASS_ALL, LEAF_EXT_1, 0, 1U << 27},
    {MSR_SPEC_CTRL, PASS_ALL, LEAF_7, 0, 1U << 26 | 1U << 27 | 1U << 31},
    {MSR_PRED_CMD, MSR_PASS_WRITE, LEAF_7, 0, 1U << 26},
    {MSR_SPEC_CTRL, PASS_ALL, LEAF_EXT_8, 1U << 14 | 1U << 15 | 1U << 24, 0},
    {MSR_PRED_CMD, MSR_PASS_WRITE, LEAF_EXT_8, 1U << 12, 0},
};

void cpu_policy_passed_msrs(const struct cpu_policy *policy,
                            void (*pass)(void *context, uint32_t index, unsigned rights),
                            void *context)
{
    for (size_t i = 0; i < sizeof(passed_msrs) / sizeof(passed_msrs[0]); i++) {
        const struct passed_msr *row = &passed_msrs[i];
        const struct cpuid_registers *shown = &policy->shown[row->leaf];

        if ((row->ebx | row->edx) == 0 || (shown->ebx & row->ebx) != 0 ||
            (shown->edx & row->edx) != 0) {
            pass(context, row->index, row->rights);
        }
    }
}

/*
 * MSRs that a stock kernel reads whatever CPUID says (arch/x86/guest/README.md lists who reads
 * them); each has the answer of a machine without the feature, and writes change nothing.
 */
static const struct {
    uint32_t index;
    uint64_t value;
} constant_msrs[] = {
    {0x17, 0},                            /* IA32_PLATFORM_ID */
    {0x34, 0},                            /* MSR_SMI_COUNT */
    {MSR_FEATURE_CONTROL, 1},             /* locked, VMX off */
    {MSR_MICROCODE_REVISION, UINT64_MAX}, /* newer than any list of errata */
    {0xce, 0},                            /* MSR_PLATFORM_INFO */
    {0x140, 0},                           /* MSR_MISC_FEATURE_ENABLES */
    {MSR_MCG_CAPABILITIES, 0},            /* no machine-check banks */
    {MSR_MISC_ENABLE, 1},                 /* fast strings */
    {0x1d9, 0},                           /* IA32_DEBUGCTL */
    {0xc0010000, 0},        /* PERF_CTL0: nothing counts, but AMD processors have it */
    {0xc0010001, 0},        /* PERF_CTL1 */
    {0xc0010002, 0},        /* PERF_CTL2 */
    {0xc0010003, 0},        /* PERF_CTL3 */
    {0xc0010004, 0},        /* PERF_CTR0 */
    {0xc0010005, 0},        /* PERF_CTR1 */
    {0xc0010006, 0},        /* PERF_CTR2 */
    {0xc0010007, 0},        /* PERF_CTR3 */
    {0xc0010010, 0},        /* SYSCFG */
    {0xc0010015, 1U << 24}, /* HWCR: the TSC counts at the P0 frequency, as an invariant one does */
    {0xc001001f, 0},        /* NB_CFG */
    {0xc0010055, 0},        /* interrupt pending message: none */
    {0xc0011029, 2},        /* DE_CFG: LFENCE is serialising */
};

static const uint64_t *constant_msr(uint32_t index)
{
    for (size_t i = 0; i < sizeof(constant_msrs) / sizeof(constant_msrs[0]); i++) {
        if (constant_msrs[i].index == index) {
            return &constant_msrs[i].value;
        }
    }
    return NULL;
}

bool cpu_policy_msr_read(const struct cpu_policy *policy, uint32_t index, uint64_t *value)
{
    const uint64_t *constant = constant_msr(index);

    if (constant != NULL) {
        *value = *constant;
        return true;
    }
    if (index == MSR_ARCH_CAPABILITIES && (policy->shown[LEAF_7].edx & 1U << 29) != 0) {
        *value = policy->arch_capabilities & ARCH_CAPABILITIES_SHOWN;
        return true;
    }
    return false;
}

bool cpu_policy_msr_write(const struct cpu_policy *policy, uint32_t index)
{
    (void)policy;
    return constant_msr(index) != NULL;
}
