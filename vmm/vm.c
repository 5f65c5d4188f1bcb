/* A virtual machine: how it ends, and its vCPUs' registers. */
#include "vmm/vm.h"

#include <stdarg.h>

#include "vmm/format.h"
#include "vmm/host.h"

void vm_kick(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        host_kick(vm->vcpus[i].cpu);
    }
}

void vm_end(struct vm *vm, enum vm_state state, const char *reason, ...)
{
    va_list arguments;

    /* Two vCPUs may come here at once: the first one's reason stands. */
    if (__atomic_test_and_set(&vm->ending, __ATOMIC_ACQ_REL)) {
        return;
    }
    va_start(arguments, reason);
    format_list(vm->end_reason, sizeof(vm->end_reason), reason, arguments);
    va_end(arguments);
    __atomic_store_n(&vm->ended_life, __atomic_load_n(&vm->life, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&vm->state, state, __ATOMIC_RELEASE);
    vm_kick(vm);
}

bool vm_report_begin(struct vm *vm)
{
    return spin_lock_try(vm->reports);
}

void vm_report_end(struct vm *vm)
{
    spin_lock_release(vm->reports);
}

uint64_t vcpu_get(struct vcpu *vcpu, enum vcpu_register name)
{
    return vcpu->vm->virtualization->get(vcpu, name);
}

void vcpu_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value)
{
    vcpu->vm->virtualization->set(vcpu, name, value);
}

uint64_t vcpu_general_register(struct vcpu *vcpu, enum general_register number)
{
    return number == GENERAL_RSP ? vcpu_get(vcpu, REGISTER_RSP) : vcpu->general[number];
}

void vcpu_set_general_register(struct vcpu *vcpu, enum general_register number, uint64_t value)
{
    if (number == GENERAL_RSP) {
        vcpu_set(vcpu, REGISTER_RSP, value);
    } else {
        vcpu->general[number] = value;
    }
}
