/* How fast the time stamp counter runs: stated, or measured. */
#include "arch/x86/boot/tsc.h"

#include "arch/x86/boot/firmware.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/tsc_frequency.h"
#include "vmm/log.h"

#define SAMPLE_MICROSECONDS 10000U

/* The firmware waits at least so long (UEFI 2.10, 7.5), but does other things meanwhile. */
static uint64_t measure(void)
{
    struct tsc_samples samples = {0};
    uint64_t start;

    do {
        start = read_tsc();
        firmware_stall(SAMPLE_MICROSECONDS);
    } while (!tsc_samples_add(&samples, read_tsc() - start));
    return samples.least * (1000000U / SAMPLE_MICROSECONDS);
}

uint64_t tsc_find_frequency(void)
{
    const char *origin = "as the hypervisor below states";
    uint64_t frequency = tsc_frequency_below(cpuid);

    if (frequency == 0) {
        origin = "as the CPU states";
        frequency = tsc_frequency_stated(cpuid);
    }
    if (frequency == 0) {
        origin = "measured against the firmware's clock";
        frequency = measure();
    }
    log_line("TSC: %lu kHz, %s", frequency / 1000, origin);
    return frequency;
}
