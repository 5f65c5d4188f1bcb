/* Homes for vCPUs: on the CPU with the fewest of the same guest, then the fewest of all. */
#include "vmm/placement.h"

#include <stdbool.h>

struct load {
    unsigned all;
    unsigned own; /* of the guest that is being placed */
};

static unsigned best_cpu(const struct load *loads, unsigned cpu_count, uint64_t allowed)
{
    unsigned best = 0;
    bool found = false;

    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        bool better = loads[cpu].own < loads[best].own ||
                      (loads[cpu].own == loads[best].own && loads[cpu].all < loads[best].all);

        if ((allowed >> cpu & 1) != 0 && (!found || better)) {
            best = cpu;
            found = true;
        }
    }
    return best;
}

static void place(const struct placement_wish *wish, struct load *loads, unsigned cpu_count,
                  uint8_t *homes)
{
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        loads[cpu].own = 0;
    }
    for (unsigned i = 0; i < wish->vcpus; i++) {
        unsigned cpu = best_cpu(loads, cpu_count, wish->cpus == 0 ? UINT64_MAX : wish->cpus);

        loads[cpu].own++;
        loads[cpu].all++;
        homes[i] = (uint8_t)cpu;
    }
}

void placement_find(const struct placement_wish *wishes, unsigned count, unsigned cpu_count,
                    uint8_t *homes)
{
    struct load loads[PLACEMENT_CPUS] = {0};

    for (unsigned pinned = 2; pinned-- > 0;) {
        unsigned first = 0;

        for (unsigned i = 0; i < count; i++) {
            if ((wishes[i].cpus != 0) == (pinned == 1)) {
                place(&wishes[i], loads, cpu_count, homes + first);
            }
            first += wishes[i].vcpus;
        }
    }
}
