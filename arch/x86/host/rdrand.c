/* RDRAND, as an entropy source: the 64-bit form only, as for RDSEED. */
#include "arch/x86/host/rdrand.h"

#include <stddef.h>

#include "arch/x86/cpu/instructions.h"

#define CPUID_1_ECX_RDRAND (1U << 30)

static bool rdrand_read(void *context, uint64_t *word)
{
    bool valid;

    (void)context;
    __asm__ volatile("rdrand %0" : "=r"(*word), "=@ccc"(valid));
    return valid;
}

bool rdrand_supported(void)
{
    return (cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) != 0;
}

const struct entropy_source rdrand_source = {.name = "RDRAND", .read = rdrand_read};
