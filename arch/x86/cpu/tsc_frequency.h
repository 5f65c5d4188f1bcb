/* How fast the time stamp counter runs: where CPUID states it, and what measurements tell. */
#ifndef ARCH_X86_CPU_TSC_FREQUENCY_H
#define ARCH_X86_CPU_TSC_FREQUENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/registers.h"

typedef struct cpuid_registers (*tsc_cpuid)(uint32_t leaf, uint32_t subleaf);

/* In Hz as the hypervisor below, if that is KVM, states it. 0 if it does not. */
uint64_t tsc_frequency_below(tsc_cpuid ask);

/* In Hz as the CPU states it (SDM Vol. 3B, 18.7.3). 0 if it does not. */
uint64_t tsc_frequency_stated(tsc_cpuid ask);

/* Ticks in waits of equal length, of which none is too short, but any may be too long. */
struct tsc_samples {
    unsigned count;
    uint64_t least; /* of all so far */
    uint64_t next;  /* the least of the others */
};

/* Adds one; before the first, all is zero. True if the least can be taken: no more are needed. */
bool tsc_samples_add(struct tsc_samples *samples, uint64_t ticks);

#endif
