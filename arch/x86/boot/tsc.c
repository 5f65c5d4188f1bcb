/* How fast the time stamp counter runs: stated by the CPU, or measured. */
#include "arch/x86/boot/tsc.h"

#include "arch/x86/boot/firmware.h"
#include "arch/x86/cpu/instructions.h"
#include "vmm/log.h"

#define LEAF_TSC             0x15U
#define MEASURE_MICROSECONDS 20000U

uint64_t tsc_find_frequency(void)
{
    if (cpuid(0, 0).eax >= LEAF_TSC) {
        struct cpuid_registers ratio = cpuid(LEAF_TSC, 0);

        if (ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0) {
            uint64_t stated = (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;

            log_line("TSC: %lu kHz, as the CPU states", stated / 1000);
            return stated;
        }
    }
    uint64_t start = read_tsc();

    firmware_stall(MEASURE_MICROSECONDS);
    uint64_t frequency = (read_tsc() - start) * (1000000U / MEASURE_MICROSECONDS);

    log_line("TSC: %lu kHz, measured against the firmware's clock", frequency / 1000);
    return frequency;
}
