/* What a CPU has of a guest's resident state, and the ways to clear what a guest leaves behind. */
#ifndef ARCH_X86_CPU_RESIDENT_ABILITIES_H
#define ARCH_X86_CPU_RESIDENT_ABILITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/registers.h"

/* The same on all CPUs. */
struct resident_abilities {
    uint64_t xcr0; /* state components that a guest may enable; 0: no XSAVE, then FXSAVE does */
    bool tsc_aux;
    bool spec_ctrl;
    bool prediction_barrier; /* IBPB: IA32_PRED_CMD bit 0 */
    bool keeps_return_stack; /* IBPB leaves the return predictor alone */
    bool clears_buffers;     /* VERW does */
    bool flushes_cache;      /* IA32_FLUSH_CMD bit 0, and the CPU leaks its L1 data (L1TF) */
    bool keeps_quotient;     /* the divider shows what it divided last */
    bool keeps_x87_pointers; /* FXRSTOR and XRSTOR leave them alone */
};

/*
 * Decides by what `host` answers: the machine's CPUID, or a recorded one in tests. `xcr0_allowed`
 * is what the guests' CPUID offers, `arch_capabilities` the machine's IA32_ARCH_CAPABILITIES, or 0.
 */
void resident_abilities_find(struct resident_abilities *abilities,
                             struct cpuid_registers (*host)(uint32_t leaf, uint32_t subleaf),
                             uint64_t xcr0_allowed, uint64_t arch_capabilities);

#endif
