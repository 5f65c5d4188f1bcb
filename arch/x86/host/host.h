/* The machine under the run loop: what its CPUs share. */
#ifndef ARCH_X86_HOST_HOST_H
#define ARCH_X86_HOST_HOST_H

#include <stdint.h>

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/resident.h"
#include "devices/rng/entropy.h"
#include "devices/rng/tap.h"

#define HOST_CORES 4

struct monitor;

struct host_vcpu {
    struct resident_state resident;
};

struct host {
    uint64_t tsc_frequency; /* Hz */
    struct cpu *cpus;       /* an array */
    unsigned cpu_count;
    struct resident_abilities resident;
    struct entropy_core *entropy[HOST_CORES]; /* all that are in use */
    unsigned entropy_count;
    struct tap *tap;             /* of the raw source; NULL: none */
    struct monitor *monitor;     /* whose the keyboard is; NULL: nobody's */
    uint64_t console_busy_until; /* TSC; the first CPU's */
};

/* Says what vmm/host.h's functions work on. Once, before the first guest runs. `host` is kept. */
void host_init(struct host *host);

#endif
