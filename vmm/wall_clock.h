/* Wall-clock time from the TSC: what the firmware's clock said once, and ticks since. */
#ifndef VMM_WALL_CLOCK_H
#define VMM_WALL_CLOCK_H

#include <stdint.h>

struct wall_clock {
    uint64_t unix_seconds; /* UTC, when the TSC was `ticks` */
    uint64_t ticks;
    uint64_t frequency; /* of the TSC, Hz; not 0 */
};

/* Seconds since 1970 at TSC `now`; before clock->ticks, those of then. */
static inline uint64_t wall_clock_seconds(const struct wall_clock *clock, uint64_t now)
{
    return clock->unix_seconds + (now > clock->ticks ? (now - clock->ticks) / clock->frequency : 0);
}

#endif
