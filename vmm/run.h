/* The run loop: enter the guest, take its exit, act on it, again. */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include <stdint.h>

#include "vmm/schedule.h"

/*
 * One turn of a vCPU whose state is in this CPU, its home: until it halts or waits, its VM ends or
 * is paused, the turn is over or somebody wants the CPU's attention, which nobody has before
 * least_turn_end. `panic_after_exits` is the debug key of that name: after so many exits the
 * hypervisor panics on purpose; 0 is never.
 */
void vcpu_run(struct vcpu *vcpu, struct schedule *schedule, uint64_t panic_after_exits);

#endif
