/* What the run loop needs of the guest's architecture; arch/x86/guest/ supplies it. */
#ifndef VMM_ARCH_H
#define VMM_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/exit.h"
#include "vmm/vcpu.h"

/* Lets the vCPU's timers and its machine's devices act on everything due at TSC `now`. */
void arch_vcpu_advance(struct vcpu *vcpu, uint64_t now);

/* The TSC value at which arch_vcpu_advance() has something to do again; UINT64_MAX for never. */
uint64_t arch_vcpu_deadline(struct vcpu *vcpu);

/*
 * Acts on INIT and start-up interrupts. False if the vCPU must wait for one and so cannot be
 * entered.
 */
bool arch_vcpu_ready(struct vcpu *vcpu);

/* Whether an interrupt waits that would end a HLT. */
bool arch_vcpu_wakes(struct vcpu *vcpu);

/* Whether a halted vCPU can ever go on: false if it takes no interrupts and no other vCPU is left.
 */
bool arch_vcpu_can_wake(struct vcpu *vcpu);

/* Hands the most urgent waiting interrupt, if any, to the hardware before an entry. */
void arch_vcpu_deliver(struct vcpu *vcpu);

/* Handles one exit. Work is bounded by a constant, whatever the guest did. */
enum exit_action arch_handle_exit(struct vcpu *vcpu, const struct vm_exit *exit);

#endif
