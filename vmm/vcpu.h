/* A virtual CPU: its registers, its home CPU, its counters. */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/exit.h"
#include "vmm/trace.h"

struct arch_vcpu;
struct backend_vcpu;
struct host_vcpu;
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
    uint64_t ticks_idle;    /* halted, or not started */
    uint64_t ticks_waiting; /* could have run, but others had the CPU */
};

struct vcpu {
    /* Saved at each exit and loaded at each entry; first, for the entry code's sake. */
    uint64_t general[GENERAL_REGISTERS];
    struct vm *vm;                /* whose it is */
    unsigned index;               /* within its VM; 0 is the one that boots */
    unsigned cpu;                 /* index of its home CPU */
    struct arch_vcpu *arch;       /* local APIC and the like; owned by the VM */
    struct backend_vcpu *backend; /* VMCS or VMCB; owned by the VM */
    struct host_vcpu *host;       /* what lives in the CPU while it runs; owned by the VM */
    struct vcpu_statistics statistics;
    struct trace trace;
    uint64_t last_exit_ticks; /* TSC when the guest last stopped, or its turn began */
    enum exit_kind last_exit; /* why it did */

    /* For its home CPU's schedule (vmm/schedule.h). */
    struct vcpu *next_on_cpu;
    uint64_t virtual_runtime; /* ticks in the hypervisor and the guest, weighted by its share */
    uint64_t weight;          /* vCPUs of its VM with this home CPU: they share one share */
    uint64_t turn_end;        /* TSC when it must be out of the guest; UINT64_MAX: no need */
    uint64_t turn_ticks;      /* TSC at the start of its turn, or at the end of its last */
    bool rests;               /* it had nothing to do when it was last looked at */

    /* For its VM's lives (vmm/lifecycle.h); its home CPU's alone, as the above. */
    unsigned life;        /* of its VM's, the one it has seen begin */
    unsigned parked_life; /* the one after which it left the CPU */
    bool fresh;           /* its registers are still to be those of a start */
};

#endif
