/* Which CPU is the home of which vCPU. */
#ifndef VMM_PLACEMENT_H
#define VMM_PLACEMENT_H

#include <stdint.h>

#define PLACEMENT_CPUS 64

/* What one guest wants. */
struct placement_wish {
    unsigned vcpus;
    uint64_t cpus; /* the sum of 1 << CPU it may have; 0: any */
};

/*
 * Finds homes for the vCPUs of `count` guests on `cpu_count` CPUs (at most PLACEMENT_CPUS), to
 * which every wish that is not 0 confines itself: pinned guests first, then the others where there
 * is most room; a guest's vCPUs are spread as far as that goes. homes[] takes a CPU for each vCPU,
 * guest after guest.
 */
void placement_find(const struct placement_wish *wishes, unsigned count, unsigned cpu_count,
                    uint8_t *homes);

#endif
