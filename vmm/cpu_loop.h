/* What a CPU does from the first guest's start to the machine's end. */
#ifndef VMM_CPU_LOOP_H
#define VMM_CPU_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/schedule.h"

/* What all CPUs of the machine work on. */
struct run {
    struct vm *const *vms; /* every VM; not owned */
    unsigned vm_count;
    bool waits_when_idle;       /* for somebody to start a guest again, once none runs */
    uint64_t panic_after_exits; /* of one vCPU, for tests; 0: never */
    bool over;                  /* atomic: every CPU is to leave its loop */
};

/* Ends the run: what still runs is stopped, and the CPUs leave their loops. On any CPU. */
void run_end(struct run *run);

/* Whether some guest's end counts as a failure. */
bool run_failed(const struct run *run);

/*
 * Gives turns to the vCPUs of `schedule`, and takes the steps in the life of each VM whose first
 * vCPU is at home here, until the run is over. CPU 0 also says when that is.
 */
void cpu_loop(struct schedule *schedule, struct run *run, unsigned cpu);

#endif
