/*
 * RDSEED, as an entropy source. Only the 64-bit form is used: on some Zen 5 the shorter forms
 * return zero with CF set (AMD-SB-7055).
 */
#include "arch/x86/host/rdseed.h"

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/rdrand.h"

#define CPUID_1_ECX_HYPERVISOR (1U << 31)
#define CPUID_7_EBX_RDSEED     (1U << 18)

/* "TCGTCGTCGTCG", which QEMU's emulated CPUs answer to CPUID leaf 0x40000000. */
#define TCG_SIGNATURE_EBX 0x54474354U
#define TCG_SIGNATURE_ECX 0x43544743U
#define TCG_SIGNATURE_EDX 0x47435447U

static bool rdseed_read(void *context, uint64_t *word)
{
    bool valid;

    (void)context;
    __asm__ volatile("rdseed %0" : "=r"(*word), "=@ccc"(valid));
    return valid;
}

/*
 * QEMU's TCG carries out RDSEED wherever it announces RDRAND; before QEMU 8.1 it did not announce
 * RDSEED itself.
 */
static bool unannounced_in_tcg(void)
{
    if (!rdrand_supported() || (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR) == 0) {
        return false;
    }
    struct cpuid_registers signature = cpuid(0x40000000, 0);

    return signature.ebx == TCG_SIGNATURE_EBX && signature.ecx == TCG_SIGNATURE_ECX &&
           signature.edx == TCG_SIGNATURE_EDX;
}

bool rdseed_supported(void)
{
    return (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED) != 0) ||
           unannounced_in_tcg();
}

const struct entropy_source rdseed_source = {.name = "RDSEED", .read = rdseed_read};
