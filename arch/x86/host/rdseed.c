/*
 * RDSEED, as an entropy source. Only the 64-bit form is used: on some Zen 5 the shorter forms
 * return zero with CF set (AMD-SB-7055).
 */
#include "arch/x86/host/rdseed.h"

#include "arch/x86/cpu/instructions.h"

#define CPUID_7_EBX_RDSEED (1U << 18)

static bool rdseed_read(void *context, uint64_t *word)
{
    bool valid;

    (void)context;
    __asm__ volatile("rdseed %0" : "=r"(*word), "=@ccc"(valid));
    return valid;
}

bool rdseed_supported(void)
{
    return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED) != 0;
}

const struct entropy_source rdseed_source = {.name = "RDSEED", .read = rdseed_read};
