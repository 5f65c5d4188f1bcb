/* The trace of a VM: switching it on, and writing it as text for tools/trace. */
#ifndef VMM_VM_TRACE_H
#define VMM_VM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arena.h"
#include "vmm/vm.h"

/* What the trace of a guest with so many vCPUs takes from the arena, in bytes. */
uint64_t vm_trace_size(unsigned vcpus);

/*
 * Has every exit and device event of a VM recorded from now on. After its vCPUs were made, before
 * its devices are. `frequency` is the TSC's in Hz. False if the arena is exhausted.
 */
bool vm_trace_enable(struct vm *vm, uint64_t frequency, struct arena *arena);

#define VM_TRACE_STEP 32 /* lines at a time */

/* A trace on its way to the debug port. */
struct vm_trace_writer {
    const struct vm *vm; /* not owned */
    unsigned source;     /* whose ring is being written: a vCPU's, or behind them the devices' */
    uint64_t next;       /* to be written of it */
    uint64_t end;        /* the first not to be written */
    uint64_t lines;      /* written so far */
};

/*
 * Begins to write a VM's trace to the debug port; false if it has none. From any CPU, and the VM
 * may be running: what is overwritten meanwhile is left out. At most TRACE_HISTORY lines a vCPU and
 * DEVICE_TRACE_LENGTH for the devices. The lines:
 *
 *   seedvisor-trace: begin FREQUENCY VCPUS GUEST
 *   x VCPU NUMBER ENTERED EXITED RIP KIND[ DETAIL]    an exit; the TSC at the entry and at the exit
 *   d NUMBER TICKS KIND VALUE                         a device event
 *   seedvisor-trace: end LINES                        how many of the above two kinds there were
 *
 * RIP is hexadecimal, all else decimal; the numbers count from the guest's first start. A trace
 * that begins before another's end takes its place.
 */
bool vm_trace_begin(struct vm_trace_writer *writer, const struct vm *vm);

/* Writes the next VM_TRACE_STEP lines; false when that was the end. */
bool vm_trace_go_on(struct vm_trace_writer *writer);

/* Writes all of it at once; nothing if the VM has no trace. */
void vm_trace_dump(const struct vm *vm);

#endif
