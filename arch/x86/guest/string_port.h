/* INS and OUTS: port accesses whose other end is memory. */
#ifndef ARCH_X86_GUEST_STRING_PORT_H
#define ARCH_X86_GUEST_STRING_PORT_H

#include "vmm/exit.h"
#include "vmm/vcpu.h"

/* Elements of a repeated instruction that one exit carries out: the bound on its work. */
#define STRING_PORT_ELEMENTS 64

/*
 * Carries out INS or OUTS (SDM Vol. 2A and 2B), or as much of a repeated one as one exit may: the
 * registers then say what is left, and RIP stays, so that interrupts can come in between.
 *
 * Returns ACTION_SKIP when the instruction is done, ACTION_RESUME if it goes on or has faulted, and
 * ACTION_STOP if it ended the VM. It faults with #GP where memory outside the segment, not mapped
 * or not RAM is accessed, and outside privilege level 0: rights of pages are not checked here.
 */
enum exit_action string_port(struct vcpu *vcpu, const struct exit_port *port);

#endif
