/* How fast the time stamp counter runs: where CPUID states it, and what measurements tell. */
#include "arch/x86/cpu/tsc_frequency.h"

#define LEAF_TSC               0x15U
#define LEAF_HYPERVISOR        0x40000000U
#define LEAF_TIMING            0x40000010U /* VMware's invention; QEMU gives it to KVM's guests */
#define CPUID_1_ECX_HYPERVISOR (1U << 31)

#define SAMPLES   10U
#define AGREEMENT 10000U /* one part in so many */

uint64_t tsc_frequency_below(tsc_cpuid ask)
{
    if ((ask(1, 0).ecx & CPUID_1_ECX_HYPERVISOR) == 0) {
        return 0;
    }
    struct cpuid_registers signature = ask(LEAF_HYPERVISOR, 0);

    /* "KVMKVMKVM" */
    if (signature.ebx != 0x4b4d564bU || signature.ecx != 0x564b4d56U || signature.edx != 0x4dU ||
        signature.eax < LEAF_TIMING) {
        return 0;
    }
    return ask(LEAF_TIMING, 0).eax * 1000ULL;
}

uint64_t tsc_frequency_stated(tsc_cpuid ask)
{
    if (ask(0, 0).eax < LEAF_TSC) {
        return 0;
    }
    struct cpuid_registers ratio = ask(LEAF_TSC, 0);

    return ratio.eax != 0 ? (uint64_t)ratio.ecx * ratio.ebx / ratio.eax : 0;
}

bool tsc_samples_add(struct tsc_samples *samples, uint64_t ticks)
{
    if (samples->count == 0 || ticks < samples->least) {
        samples->next = samples->least;
        samples->least = ticks;
    } else if (samples->count == 1 || ticks < samples->next) {
        samples->next = ticks;
    }
    samples->count++;
    return samples->count >= SAMPLES ||
           (samples->count > 1 && samples->next - samples->least <= samples->least / AGREEMENT);
}
