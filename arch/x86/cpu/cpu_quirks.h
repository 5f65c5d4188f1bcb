/* CPUs whose RDSEED or RDRAND is known to be bad, and what is done about each. */
#ifndef ARCH_X86_CPU_CPU_QUIRKS_H
#define ARCH_X86_CPU_CPU_QUIRKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/cpu/registers.h"

enum cpu_vendor { CPU_OTHER, CPU_INTEL, CPU_AMD, CPU_HYGON };

/* Which CPU this is, as CPUID and the microcode's MSR tell. */
struct cpu_model {
    enum cpu_vendor vendor;
    uint32_t family; /* with the extended family added */
    uint32_t model;  /* with the extended model in front */
    uint32_t stepping;
    uint32_t microcode; /* revision */
};

enum random_instruction { INSTRUCTION_RDSEED, INSTRUCTION_RDRAND };

enum cpu_verdict {
    CPU_SOUND,   /* nothing bad is known of this CPU with this microcode */
    CPU_NOTED,   /* can be used as we use it; `text` says what is known */
    CPU_REFUSED, /* must not be used; `text` says why */
};

struct cpu_quirk {
    enum cpu_verdict verdict;
    bool hidden;        /* guests are not shown the instruction: they would use its bad forms */
    const char *text;   /* a phrase; NULL for CPU_SOUND */
    const char *remedy; /* what a person can do; NULL for CPU_SOUND */
};

/*
 * Takes CPUID's leaves 0 and 1 apart (SDM Vol. 2A, CPUID; APM Vol. 3, appendix E). `microcode` is
 * the revision.
 */
struct cpu_model cpu_model_find(const struct cpuid_registers *leaf_0,
                                const struct cpuid_registers *leaf_1, uint32_t microcode);

/* What is known of one instruction of this CPU. */
struct cpu_quirk cpu_quirk_find(const struct cpu_model *cpu, enum random_instruction instruction);

/*
 * Whether this CPU leaves the results of RDRAND and RDSEED where other cores can see them
 * (CVE-2020-0543), unless its microcode clears them away.
 */
bool cpu_has_srbds(const struct cpu_model *cpu);

#endif
