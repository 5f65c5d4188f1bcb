/* RDSEED, as an entropy source. */
#ifndef ARCH_X86_HOST_RDSEED_H
#define ARCH_X86_HOST_RDSEED_H

#include <stdbool.h>

#include "devices/rng/source.h"

/* Whether CPUID announces RDSEED (leaf 7, EBX bit 18). */
bool rdseed_supported(void);

/* The source; its context is not used. */
extern const struct entropy_source rdseed_source;

#endif
