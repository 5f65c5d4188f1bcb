/* Whether a vCPU may do what only an operating system may. */
#ifndef ARCH_X86_GUEST_PRIVILEGE_H
#define ARCH_X86_GUEST_PRIVILEGE_H

#include "arch/x86/cpu/registers.h"
#include "vmm/vm.h"

/*
 * Whether its privilege level is 0: where the hardware has not looked at that before it exited.
 * Protected mode keeps the level in CS; real mode has none, and virtual-8086 mode is always 3.
 */
static inline bool vcpu_is_privileged(struct vcpu *vcpu)
{
    struct segment cs;

    if ((vcpu_get(vcpu, REGISTER_CR0) & CR0_PE) == 0) {
        return true;
    }
    vcpu->vm->virtualization->get_segment(vcpu, SEGMENT_CS, &cs);
    return (vcpu_get(vcpu, REGISTER_RFLAGS) & RFLAGS_VM) == 0 && (cs.selector & 3) == 0;
}

#endif
