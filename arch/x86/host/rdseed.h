/* RDSEED, as an entropy source. */
#ifndef ARCH_X86_HOST_RDSEED_H
#define ARCH_X86_HOST_RDSEED_H

#include <stdbool.h>

#include "devices/rng/source.h"

/* Whether the CPU has RDSEED: CPUID leaf 7, EBX bit 18, or an old TCG that keeps it to itself. */
bool rdseed_supported(void);

/* The source; its context is not used. */
extern const struct entropy_source rdseed_source;

#endif
