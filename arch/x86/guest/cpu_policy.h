/* What a guest is told of its CPU: one table of features, from which CPUID and MSRs follow. */
#ifndef ARCH_X86_GUEST_CPU_POLICY_H
#define ARCH_X86_GUEST_CPU_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/registers.h"

/* Executes CPUID on the machine, or plays a recorded machine in tests. */
typedef struct cpuid_registers (*cpuid_reader)(uint32_t leaf, uint32_t subleaf);

/* Leaves that consist of feature bits. */
#define CPU_POLICY_LEAVES 7

/* What must be known to answer for the guests' CPUs; the same for all guests. */
struct cpu_policy {
    cpuid_reader host;          /* the machine's own CPUID */
    unsigned instructions;      /* GUEST_HAS_ bits: vmm/virtualization.h */
    uint64_t tsc_frequency;     /* Hz */
    uint64_t arch_capabilities; /* the machine's IA32_ARCH_CAPABILITIES, or 0 */
    uint64_t cr4_allowed;       /* CR4 bits that go with the features shown */
    uint64_t xcr0_allowed;      /* state components a guest may enable */
    struct cpuid_registers shown[CPU_POLICY_LEAVES]; /* feature bits, by feature leaf */
    struct cpuid_registers basic;                    /* leaf 0 */
    struct cpuid_registers extended;                 /* leaf 80000000H */
};

/* Fills in cr4_allowed and what follows it from the other fields, which the caller has set. */
void cpu_policy_init(struct cpu_policy *policy);

/* Facts about the asking vCPU that CPUID shows. */
struct cpuid_context {
    uint32_t apic_id;
    uint32_t vcpu_count;
    uint64_t cr4; /* shows in CPUID_LEAF_WITH_CR4 alone */
};

#define CPUID_LEAF_WITH_CR4 1U

/* The guest's answer for a leaf. */
struct cpuid_registers cpu_policy_cpuid(const struct cpu_policy *policy,
                                        const struct cpuid_context *context, uint32_t leaf,
                                        uint32_t subleaf);

/* Whether the guest may write `value` to the register; if not, it takes #GP. */
bool cpu_policy_cr0_valid(uint64_t value);
bool cpu_policy_cr4_valid(const struct cpu_policy *policy, uint64_t value);
bool cpu_policy_xcr0_valid(const struct cpu_policy *policy, uint64_t value);
bool cpu_policy_efer_valid(const struct cpu_policy *policy, uint64_t value);

/* Rights of MSRs that reach the hardware without an exit. */
#define MSR_PASS_READ  1U
#define MSR_PASS_WRITE 2U

/*
 * The MSRs that need no exit, for the permission maps: calls `pass` for each one that goes with a
 * feature shown.
 */
void cpu_policy_passed_msrs(const struct cpu_policy *policy,
                            void (*pass)(void *context, uint32_t index, unsigned rights),
                            void *context);

/*
 * The answer to a read that did exit, for MSRs with a constant answer; and whether a write is
 * accepted and forgotten. False: the MSR is not in the table.
 */
bool cpu_policy_msr_read(const struct cpu_policy *policy, uint32_t index, uint64_t *value);
bool cpu_policy_msr_write(const struct cpu_policy *policy, uint32_t index);

#endif
