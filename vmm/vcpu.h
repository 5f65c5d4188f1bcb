/* A virtual CPU: its registers, its home CPU, its counters. */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/exit.h"
#include "vmm/trace.h"

struct arch_vcpu;
struct backend_vcpu;
struct vm;

/* The general registers by their number in instruction encodings (SDM Vol. 2A, table 3-1). */
enum general_register {
    GENERAL_RAX,
    GENERAL_RCX,
    GENERAL_RDX,
    GENERAL_RBX,
    GENERAL_RSP, /* the hardware keeps it: see vcpu_general_register() */
    GENERAL_RBP,
    GENERAL_RSI,
    GENERAL_RDI,
    GENERAL_R8,
    GENERAL_R9,
    GENERAL_R10,
    GENERAL_R11,
    GENERAL_R12,
    GENERAL_R13,
    GENERAL_R14,
    GENERAL_R15,
    GENERAL_REGISTERS
};

/* Exits by kind, and where the time went, in TSC ticks. */
struct vcpu_statistics {
    uint64_t exits[EXIT_KINDS];
    uint64_t ticks[EXIT_KINDS]; /* in the hypervisor, from an exit of that kind to the next entry */
    uint64_t ticks_guest;
    uint64_t ticks_idle;
};

struct vcpu {
    /* Saved at each exit and loaded at each entry; first, for the entry code's sake. */
    uint64_t general[GENERAL_REGISTERS];
    struct vm *vm;                /* whose it is */
    unsigned index;               /* within its VM; 0 is the one that boots */
    unsigned cpu;                 /* index of its home CPU */
    struct arch_vcpu *arch;       /* local APIC and the like; owned by the VM */
    struct backend_vcpu *backend; /* VMCS or VMCB; owned by the VM */
    struct vcpu_statistics statistics;
    struct trace trace;
    uint64_t last_exit_ticks; /* TSC when the guest last stopped, moved on by time spent asleep */
    enum exit_kind last_exit; /* why it did */
};

#endif
