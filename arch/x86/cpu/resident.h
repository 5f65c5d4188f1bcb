/* What of a guest's state lives in the CPU itself while the hypervisor uses none of it. */
#ifndef ARCH_X86_CPU_RESIDENT_H
#define ARCH_X86_CPU_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

/* XSAVE's standard form up to AVX, the largest state a guest may enable (SDM Vol. 1, 13.4). */
#define RESIDENT_EXTENDED_SIZE 832

/* One vCPU's, while another has the CPU. */
struct resident_state {
    _Alignas(64) uint8_t extended[RESIDENT_EXTENDED_SIZE]; /* x87, SSE and AVX registers */
    uint64_t xcr0;
    uint64_t debug_addresses[4]; /* DR0 to DR3 */
    uint64_t tsc_aux;
    uint64_t spec_ctrl;
};

/* What the CPU has of it, and the ways to clear what a guest leaves behind; the same on all CPUs.
 */
struct resident_abilities {
    uint64_t xcr0; /* state components that a guest may enable; 0: no XSAVE, then FXSAVE does */
    bool tsc_aux;
    bool spec_ctrl;
    bool prediction_barrier; /* IBPB: IA32_PRED_CMD bit 0 */
    bool clears_buffers;     /* VERW does (MD_CLEAR) */
    bool flushes_cache;      /* IA32_FLUSH_CMD bit 0, and the CPU leaks its L1 data (L1TF) */
};

/* Asks CPUID; `xcr0_allowed` is what the guests' CPUID offers. */
void resident_find_abilities(struct resident_abilities *abilities, uint64_t xcr0_allowed);

/* The initial state: what FNINIT, a zero header and zeroes amount to. */
void resident_reset(struct resident_state *state);

/* Between the CPU and memory. */
void resident_save(struct resident_state *state, const struct resident_abilities *abilities);
void resident_load(const struct resident_state *state, const struct resident_abilities *abilities);

/*
 * Leaves nothing of one guest in branch predictors, buffers and the first-level cache that another
 * could use or see.
 */
void resident_barrier(const struct resident_abilities *abilities);

#endif
