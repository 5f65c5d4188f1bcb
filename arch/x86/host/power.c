/* The end of the run: the emulator's way if this is one, else the firmware's, else a halt. */
#include "arch/x86/host/power.h"

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/console.h"
#include "arch/x86/host/coverage.h"
#include "arch/x86/host/emulator.h"
#include "vmm/format.h"

static struct firmware_power firmware_power;

void power_init(const struct firmware_power *firmware)
{
    firmware_power = *firmware;
}

_Noreturn void power_off(enum run_result result)
{
    char line[40];

    interrupts_off();
    console_flush();
#ifdef COVERAGE
    coverage_tell();
#endif
    /* LCOV_EXCL_START: executed after the counters were told */
    format(line, sizeof(line), "seedvisor-result: %u\n", (unsigned)result);
    emulator_write(line);
    emulator_end((unsigned)result);
    if (firmware_power.shut_down != NULL) {
        /* The runtime services expect the firmware's own identity map. */
        write_cr3(firmware_power.cr3);
        firmware_power.shut_down(firmware_power.context);
    }
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
/* LCOV_EXCL_STOP */
