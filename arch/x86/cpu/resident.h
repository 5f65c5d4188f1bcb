/* What of a guest's state lives in the CPU itself while the hypervisor uses none of it. */
#ifndef ARCH_X86_CPU_RESIDENT_H
#define ARCH_X86_CPU_RESIDENT_H

#include <stdint.h>

#include "arch/x86/cpu/resident_abilities.h"

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
