/* RDRAND, as an entropy source. */
#ifndef ARCH_X86_HOST_RDRAND_H
#define ARCH_X86_HOST_RDRAND_H

#include <stdbool.h>

#include "devices/rng/source.h"

/* Whether the CPU has RDRAND: CPUID leaf 1, ECX bit 30. */
bool rdrand_supported(void);

/*
 * The source; its context is not used. Its words come from a deterministic generator inside the CPU
 * (a DRBG, SDM Vol. 1, 7.3.17) that the CPU's entropy source reseeds now and then, on Intel's once
 * in up to 1,022 words: they cannot be told from entropy, but are not full of it as RDSEED's are.
 */
extern const struct entropy_source rdrand_source;

#endif
