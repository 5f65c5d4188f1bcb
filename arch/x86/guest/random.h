/* The guest's own RDRAND and RDSEED, answered from the tested pool (rng.trap = on). */
#ifndef ARCH_X86_GUEST_RANDOM_H
#define ARCH_X86_GUEST_RANDOM_H

#include <stdint.h>

#include "vmm/vcpu.h"

/* Of one vCPU. */
struct random_counters {
    uint64_t answered;
    uint64_t dry; /* told that there is no word just now */
};

/*
 * Carries out the instruction that exited, but for moving past it: the register and the flags are
 * as after RDRAND or RDSEED (SDM Vol. 2B), with CF clear if the pool cannot be had to fill it.
 */
void random_instruction(struct vcpu *vcpu, const struct exit_random *random);

#endif
