/* KVM's paravirtual clock: tells a guest the TSC's rate and the time of day without guessing. */
#ifndef ARCH_X86_GUEST_PVCLOCK_H
#define ARCH_X86_GUEST_PVCLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest_memory.h"
#include "vmm/wall_clock.h"

/* Linux, Documentation/virt/kvm/x86/msr.rst. */
#define PVCLOCK_MSR_WALL_CLOCK  0x4b564d00U
#define PVCLOCK_MSR_SYSTEM_TIME 0x4b564d01U

/* One vCPU's registrations; zero after reset. */
struct pvclock {
    uint64_t wall_clock_gpa;
    uint64_t system_time_gpa; /* bit 0: enabled */
};

/*
 * RDMSR and WRMSR of the two MSRs. A write puts the answer into guest memory at once: the TSC is
 * invariant, so it stays right for good. False: not one of them, or a GPA outside RAM (#GP).
 */
bool pvclock_read_msr(const struct pvclock *pvclock, uint32_t index, uint64_t *value);
bool pvclock_write_msr(struct pvclock *pvclock, const struct guest_memory *memory,
                       const struct wall_clock *clock, uint32_t index, uint64_t value);

#endif
