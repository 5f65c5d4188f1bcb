/* A virtual machine: memory, buses and vCPUs that belong to one guest and to nobody else. */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/device_trace.h"
#include "vmm/guest_memory.h"
#include "vmm/lifecycle.h"
#include "vmm/spin_lock.h"
#include "vmm/vcpu.h"
#include "vmm/virtualization.h"

struct arch_vm;
struct backend_vm;

enum vm_state {
    VM_NOT_RUNNING, /* not started yet, or again */
    VM_RUNNING,
    VM_POWERED_OFF, /* the guest switched itself off: a good end */
    VM_RESET,       /* the guest asked for a reset: a good end */
    VM_CRASHED,     /* triple fault, or it did what its machine cannot answer */
    VM_STOPPED,     /* somebody asked for it */
};

struct vm {
    const char *name; /* from the configuration */
    const struct virtualization *virtualization;
    struct guest_memory memory;
    struct bus mmio;
    struct bus ports;
    struct vcpu *vcpus; /* an array, from the arena */
    unsigned vcpu_count;
    struct arch_vm *arch;              /* interrupt controllers and devices */
    struct backend_vm *backend;        /* nested page tables and permission maps */
    struct device_trace *device_trace; /* from the arena; NULL: no trace is asked for */
    struct spin_lock *reports;         /* all VMs' one, not owned: vm_report_begin() */
    struct lifecycle lifecycle;
    enum vm_state state; /* atomic: any vCPU may end the VM */
    bool ending;         /* atomic: somebody has begun to */
    bool paused;         /* atomic */
    unsigned live;       /* vCPUs not parked yet; atomic */
    unsigned life;       /* how often it was started; atomic */
    unsigned ended_life; /* the last one that ended; atomic */
    char end_reason[96]; /* why it is not running any more */
};

/* Its state, which any CPU may ask for. */
static inline enum vm_state vm_state(const struct vm *vm)
{
    return (enum vm_state)__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE);
}

/* Whether it still runs. */
static inline bool vm_running(const struct vm *vm)
{
    return vm_state(vm) == VM_RUNNING;
}

/* Whether its vCPUs may be entered. */
static inline bool vm_runnable(const struct vm *vm)
{
    return vm_running(vm) && !__atomic_load_n(&vm->paused, __ATOMIC_RELAXED);
}

/* Kicks the home CPUs of all vCPUs, so that they look at the VM's state. */
void vm_kick(struct vm *vm);

/* Ends a VM, once: a later reason does not replace the first. Its vCPUs are kicked to see it.
 * `reason` is a printf format. */
void vm_end(struct vm *vm, enum vm_state state, const char *reason, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Around lines of the log that belong together, so that no other VM's come in between. False, and
 * nothing begun, while another report goes on: many lines take seconds, and nobody waits for that.
 */
bool vm_report_begin(struct vm *vm);
void vm_report_end(struct vm *vm);

/* General register `number`, RSP included. */
uint64_t vcpu_general_register(struct vcpu *vcpu, enum general_register number);
void vcpu_set_general_register(struct vcpu *vcpu, enum general_register number, uint64_t value);

/* Short forms of the table's operations for a vCPU. */
uint64_t vcpu_get(struct vcpu *vcpu, enum vcpu_register name);
void vcpu_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value);

#endif
