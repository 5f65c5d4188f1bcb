/* The guest's machine as a whole: its interrupt controllers, its devices, and how it is put up. */
#ifndef ARCH_X86_GUEST_MACHINE_H
#define ARCH_X86_GUEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/guest/boot_image.h"
#include "arch/x86/guest/cpu_policy.h"
#include "arch/x86/guest/fetch.h"
#include "arch/x86/guest/io_apic.h"
#include "arch/x86/guest/local_apic.h"
#include "arch/x86/guest/pv_eoi.h"
#include "arch/x86/guest/pvclock.h"
#include "arch/x86/guest/random.h"
#include "devices/debug_exit/debug_exit.h"
#include "devices/fw_cfg/fw_cfg.h"
#include "devices/power/power.h"
#include "devices/rng/rng.h"
#include "devices/rtc/rtc.h"
#include "devices/uart/uart.h"
#include "vmm/arena.h"
#include "vmm/spin_lock.h"
#include "vmm/vm.h"
#include "vmm/wall_clock.h"

#define MACHINE_VCPUS   64 /* local_apic_dispatch()'s limit */
#define MACHINE_UNKNOWN 16 /* different numbers that are told apart */

/* Accesses that nothing answers, counted by number: what a new kernel wants shows here. */
struct unknown_accesses {
    struct {
        uint64_t number;
        uint64_t count;
    } rows[MACHINE_UNKNOWN];
    uint64_t others; /* of numbers that found no row */
};

/* What a machine is made of. Nothing is owned; all of it outlives the machine. */
struct machine_setup {
    const char *name;
    const struct virtualization *virtualization;
    const struct cpu_policy *policy;
    const struct wall_clock *clock;
    struct boot_image *image;     /* its rsdp_gpa and rng_seed are filled in when it is loaded */
    struct entropy_core *seed;    /* where the image's seed comes from; NULL: it has none */
    struct entropy_core *entropy; /* of the entropy device; NULL: there is none */
    struct entropy_core *random;  /* answers the guest's RDRAND and RDSEED; NULL: the processor */
    bool map_registers;           /* the entropy device's, for reading without exits */
    bool virtio_legacy;           /* its register layout is version 1 */
    uint64_t virtio_features;     /* that it offers beyond VIRTIO_F_VERSION_1 */
    uint64_t rate_bytes;          /* its limit, as in struct rng_setup */
    uint64_t rate_period;
    struct uart_sink console;
    unsigned vcpus;
    bool trace;                   /* record every exit and device event: vmm/vm_trace.h */
    uint16_t debug_exit_port;     /* 0: none */
    bool fw_cfg;                  /* the guest may ask it for its memory and CPUs */
    uint16_t first_address_space; /* for vCPU 0; the others follow */
};

struct arch_vcpu {
    struct local_apic apic;
    struct pvclock pvclock;
    struct pv_eoi pv_eoi;
    bool waiting;              /* for a start-up interrupt */
    bool halted;               /* by HLT, since it was last entered */
    bool takes_interrupts;     /* RFLAGS.IF when it halted */
    bool offered;              /* an interrupt that it could not take when it was last entered */
    struct fetch_rows fetched; /* instructions that were decoded lately */
    uint16_t address_space;    /* VPID or ASID: unique on the machine, not 0 */
    struct random_counters random;
};

struct arch_vm {
    struct spin_lock lock; /* around every device and the I/O APIC */
    bool settled;          /* whoever holds the lock has interrupted nobody so far */
    uint64_t poll_time;    /* TSC when a device is to be looked at without its guest; atomic */
    struct machine_setup setup;
    const struct cpu_policy *policy;
    const struct wall_clock *clock;
    struct io_apic io_apic;
    struct uart uart;
    struct rtc rtc;
    struct power power;
    struct debug_exit debug_exit;
    struct fw_cfg fw_cfg;
    struct rng rng;
    bool has_rng;
    void *rng_page; /* the entropy device's registers, as its guest sees them; NULL: it traps */
    struct entropy_share random_share;       /* of its trapped instructions, all vCPUs together */
    struct local_apic *apics[MACHINE_VCPUS]; /* by vCPU index */
    struct vcpu_start start;                 /* of vCPU 0, as the image wants it */
    struct unknown_accesses unknown_ports;
    struct unknown_accesses unknown_msrs;
    struct unknown_accesses unknown_memory;
};

/*
 * Puts up a machine in `vm`, whose `memory` is filled in and zeroed: devices on their buses, nested
 * mappings, vCPU objects; arch_vm_load() then makes it ready to start. The vCPUs' hardware state is
 * made by vcpu_create() on their home CPUs, afterwards. `setup` is copied. False, with a line in
 * the log, if the arena is exhausted or something does not fit.
 */
bool machine_create(struct vm *vm, const struct machine_setup *setup, struct arena *arena);

/*
 * Around every use of a device. Unlocking notes when the devices want to be polled; it returns
 * whether no vCPU has to look at anything: none was interrupted, nor is one to poll earlier.
 */
void machine_lock(struct vm *vm);
bool machine_unlock(struct vm *vm);

/* The TSC at which machine_poll() is due; UINT64_MAX for never. */
uint64_t machine_poll_time(const struct vm *vm);

/* Lets the devices go on with what waits for the machine: console room, entropy, an alarm. */
void machine_poll(struct vm *vm);

/* Counts an access that nothing answered. */
void machine_count_unknown(struct unknown_accesses *accesses, uint64_t number);

/*
 * Logs part `part` of what a machine did: exits and ticks of a vCPU, or, last, the entropy device's
 * counters and unknown accesses. False, and nothing logged, if there is no such part. May be called
 * while the VM runs: it reads words that others write, and waits for nobody.
 */
bool machine_print_statistics(const struct vm *vm, unsigned part);

#endif
