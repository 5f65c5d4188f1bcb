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
 * The same of a vCPU that does not run, whose home CPU has others to run: a timer whose interrupt
 * would not end its HLT has nothing to do until it runs, and can be no reason to take that CPU.
 */
uint64_t arch_vcpu_wake_time(struct vcpu *vcpu);

/* Puts a vCPU, whose state is in the CPU, into the state of a start of its VM. */
void arch_vcpu_reset(struct vcpu *vcpu);

/*
 * Acts on INIT and start-up interrupts, and ends a HLT. False if the vCPU must wait for one of them
 * and so cannot be entered. Its state is in the CPU.
 */
bool arch_vcpu_ready(struct vcpu *vcpu);

/*
 * The vCPU executed HLT and is past it. False if nothing can ever end that: it takes no interrupts
 * and no other vCPU is left to help it. Its state is in the CPU.
 */
bool arch_vcpu_halt(struct vcpu *vcpu);

/*
 * Whether there is anything for it to do: it has not halted, or an interrupt waits that ends the
 * HLT, or what it waits for to start. Asked while another vCPU's state may be in the CPU.
 */
bool arch_vcpu_runnable(const struct vcpu *vcpu);

/* Hands the most urgent waiting interrupt, if any, to the hardware before an entry. */
void arch_vcpu_deliver(struct vcpu *vcpu);

/*
 * Handles one exit, and completes it: with the instruction's length, where the hardware does not
 * tell that. Work is bounded by a constant, whatever the guest did.
 */
enum exit_action arch_handle_exit(struct vcpu *vcpu, struct vm_exit *exit);

/*
 * Makes a VM, whose memory is zero and whose vCPUs are parked, as it is when switched on: devices
 * reset, image loaded with a fresh seed, vCPUs to be reset. False, with a line in the log, if the
 * image cannot be booted or there is no entropy for the seed.
 */
bool arch_vm_load(struct vm *vm);

/*
 * Logs how a VM ended and what it did, a part of at most 4 KiB at a time: 0, 1 and so on. Its
 * console shows what was left unfinished. False if that was the last part.
 */
bool arch_vm_report(struct vm *vm, unsigned part);

#endif
