/* The end of the run: the emulator's way if this is one, else the firmware's, else a halt. */
#include "arch/x86/host/power.h"

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/console.h"
#include "arch/x86/host/coverage.h"
#include "arch/x86/host/emulator.h"
#include "vmm/format.h"

static struct firmware_power firmware_power;

/*
 * How often the end may be begun anew, by exceptions on the way, before a step is left out: a panic
 * while the machine is being switched off still has its report shown.
 */
#define FLUSHES   2U
#define SHUTDOWNS 4U

/* The GDT of the CPU whose the end is: it tells CPUs apart, whatever state they are in. 0: none. */
static uint64_t owner;

void power_init(const struct firmware_power *firmware)
{
    firmware_power = *firmware;
}

static uint64_t this_gdt(void)
{
    struct descriptor_table gdt;

    store_gdt(&gdt);
    return gdt.base;
}

bool power_take(void)
{
    uint64_t self = this_gdt();
    uint64_t before = 0;

    console_end();
    return __atomic_compare_exchange_n(&owner, &before, self, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST) ||
           before == self;
}

void power_stand_aside(void)
{
    uint64_t taken_by = __atomic_load_n(&owner, __ATOMIC_RELAXED);

    if (taken_by != 0 && taken_by != this_gdt()) {
        halt_for_good();
    }
}

_Noreturn void power_off(enum run_result result)
{
    static unsigned attempts;
    char line[40];

    interrupts_off();
    if (!power_take()) {
        halt_for_good();
    }
    unsigned attempt = attempts++;

    if (attempt < FLUSHES) {
        console_flush();
    }
#ifdef COVERAGE
    coverage_tell();
#endif
    /* LCOV_EXCL_START: executed after the counters were told */
    format(line, sizeof(line), "seedvisor-result: %u\n", (unsigned)result);
    emulator_write(line);
    emulator_end((unsigned)result);
    if (firmware_power.shut_down != NULL && attempt < SHUTDOWNS) {
        /* The runtime services expect the firmware's own identity map. */
        write_cr3(firmware_power.cr3);
        firmware_power.shut_down(firmware_power.context);
    }
    halt_for_good();
}
/* LCOV_EXCL_STOP */
