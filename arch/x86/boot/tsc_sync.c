/* Whether all CPUs count the same time; guests read the counter of whichever CPU they are on. */
#include "arch/x86/boot/tsc_sync.h"

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/cpu/tsc_exchange.h"
#include "vmm/log.h"

/* A warp shows in the quickest of the rounds: many, for each may be disturbed. */
#define ROUNDS            1000U
#define ROUNDS_PER_SECOND 10U /* a tenth of a second for all of them, where CPUs are shared */
/* How long a turn is awaited without a pause, which takes longer than the other's answer. */
#define EAGER_LOOKS 64U

#define CPUID_7_EBX_TSC_ADJUST (1U << 1)

static struct tsc_exchange exchange;
static uint64_t first_adjustment;

static bool can_adjust(void)
{
    return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_TSC_ADJUST) != 0;
}

void tsc_sync_begin(void)
{
    if (can_adjust()) {
        first_adjustment = read_msr(MSR_TSC_ADJUST);
    }
}

bool tsc_sync_serve(void)
{
    for (unsigned looks = 0; looks < EAGER_LOOKS; looks++) {
        if (tsc_exchange_take(&exchange, TSC_FIRST, read_tsc_in_order)) {
            return true;
        }
    }
    return false;
}

/* Until the first CPU has had its turn, which it is for the first time when nobody has. */
static void await_turn(void)
{
    for (unsigned looks = 0; !tsc_exchange_mine(&exchange, TSC_OTHER); looks++) {
        if (looks >= EAGER_LOOKS) {
            pause();
        }
    }
}

/* By how many ticks one of the two counters was seen behind the other. */
static uint64_t find_warp(uint64_t frequency)
{
    uint64_t begin = read_tsc();

    await_turn();
    exchange.warp = 0;
    exchange.last = 0;
    for (unsigned i = 0; i < ROUNDS && read_tsc() - begin < frequency / ROUNDS_PER_SECOND; i++) {
        (void)tsc_exchange_take(&exchange, TSC_OTHER, read_tsc_in_order);
        await_turn();
    }
    return exchange.warp;
}

bool tsc_sync_join(unsigned cpu, uint64_t frequency)
{
    uint64_t warp = find_warp(frequency);

    /* Firmware that set one CPU's counter left the difference here (SDM Vol. 3B, 18.17.3). */
    if (warp > 0 && can_adjust() && read_msr(MSR_TSC_ADJUST) != first_adjustment) {
        write_msr(MSR_TSC_ADJUST, first_adjustment);
        log_line("CPU %u: its time stamp counter was off by %lu ticks: adjusted", cpu, warp);
        warp = find_warp(frequency);
    }
    if (warp > 0) {
        log_line("CPU %u: its time stamp counter is off from CPU 0's by %lu ticks: a guest's clock "
                 "would jump",
                 cpu, warp);
        log_line("  to mend it: update the firmware, or let cpus = name only CPUs below %u", cpu);
    }
    return warp == 0;
}
