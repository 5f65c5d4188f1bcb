/* The entropy sources that the configuration asks for, and a core for each that is in use. */
#ifndef ARCH_X86_BOOT_SOURCES_H
#define ARCH_X86_BOOT_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/host/host.h"
#include "devices/rng/egd.h"
#include "devices/rng/entropy.h"
#include "devices/rng/mix.h"
#include "devices/rng/tap.h"
#include "vmm/config.h"
#include "vmm/virtualization.h"

/* One core for each value of enum config_rng but `none`. They stay where they are initialised. */
struct sources {
    struct entropy_core cores[CONFIG_RNG_NONE];
    bool used[CONFIG_RNG_NONE];
    unsigned stirred;    /* bytes of the firmware's, for each core in use */
    enum config_rng own; /* the hypervisor's own, for seeds: RDSEED, or RDRAND without it */
    struct mix mix;
    struct egd egd;
    struct tap tap;
};

/* Tells `report` of each source that is needed, and whether this machine has it. */
void sources_check(const struct config *config, requirement_report report, void *context);

/*
 * Puts up the cores that are in use, and names them to `host` for being filled, whose tsc_frequency
 * is known. The start-up tests are ahead. While the firmware is there: what randomness it has is
 * stirred in.
 */
void sources_init(struct sources *sources, const struct config *config, struct host *host);

/* The core of a guest's device; NULL for `none`. */
struct entropy_core *sources_core(struct sources *sources, uint64_t rng);

/*
 * The core of a guest's boot seed: its device's, unless that is slow, for which no start waits, or
 * it has no device. Then it is the hypervisor's own.
 */
struct entropy_core *sources_seed(struct sources *sources, uint64_t rng);

/* Counters of all cores in use, into the log. */
void sources_print(struct sources *sources);

#endif
