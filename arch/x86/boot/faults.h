/* debug.rng_fault: in builds with FAULTS=1 the source of entropy fails by a script. */
#ifndef ARCH_X86_BOOT_FAULTS_H
#define ARCH_X86_BOOT_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/rng/source.h"
#include "vmm/config.h"

/* Whether this build can do what debug.rng_fault asks for; the log says why not. */
bool faults_accept(const struct config_host *config);

/* The source to use in place of `source`: itself, or one that plays the script accepted. */
struct entropy_source faults_source(const struct entropy_source *source, uint64_t tsc_frequency);

#endif
