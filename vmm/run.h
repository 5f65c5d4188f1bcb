/* The run loop: enter the guest, take its exit, act on it, again. */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "vmm/vm.h"

/*
 * Runs a vCPU on its home CPU until its VM ends; vm->state and vm->end_reason then say how.
 * `panic_after_exits` is the debug key of that name: after so many exits the hypervisor panics on
 * purpose; 0 is never.
 */
void vcpu_run(struct vcpu *vcpu, uint64_t panic_after_exits);

#endif
