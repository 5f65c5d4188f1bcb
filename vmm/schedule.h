/* Which vCPU of a CPU runs next: the one whose guest has had the least of its share. */
#ifndef VMM_SCHEDULE_H
#define VMM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/vm.h"

/*
 * A vCPU has a home CPU, for good. VMs share a CPU equally, however many vCPUs of theirs it is home
 * to: a vCPU's virtual runtime is the time it took, in the guest and in the hypervisor on its
 * behalf, times the number of its siblings there; the runnable vCPU with the least of it goes next.
 * One that wakes starts at most one slice behind the others, so that sleep saves nothing up.
 *
 * Everything here belongs to the CPU it is for.
 */
struct schedule {
    struct vcpu *vcpus;       /* a list, by next_on_cpu */
    unsigned count;           /* of it */
    unsigned runnable;        /* of them, when one was picked last */
    struct vcpu *current;     /* whose state is in the CPU; NULL: nobody's */
    uint64_t slice;           /* ticks of a turn when others wait */
    bool company;             /* the machine has other CPUs, which may kick this one */
    uint64_t turn_end;        /* TSC; UINT64_MAX if nobody else is at home here */
    uint64_t least_turn_end;  /* TSC before which what is due for others does not end the turn */
    uint64_t others_deadline; /* TSC when one that does not run is to be looked at */
    uint64_t floor;           /* the virtual runtime of the last one chosen */
    uint64_t switches;        /* from one vCPU to another */
    uint64_t switch_ticks;    /* that they took in all */
};

/* Nobody's home so far. `slice` is in TSC ticks. */
void schedule_init(struct schedule *schedule, uint64_t slice);

/* Makes the CPU a vCPU's home; its VM's vCPUs all have theirs before any runs. */
void schedule_add(struct schedule *schedule, struct vcpu *vcpu);

/*
 * Lets the timers of all vCPUs act at TSC `now`, and chooses who runs: NULL if nobody can. Sets
 * turn_end, least_turn_end and others_deadline.
 */
struct vcpu *schedule_pick(struct schedule *schedule, uint64_t now);

/*
 * The chosen vCPU's turn begins, `late` ticks after the choice: the time to choose it and to switch
 * to it is its own, and does not shorten its turn to nothing.
 */
void schedule_begin(struct schedule *schedule, struct vcpu *vcpu, uint64_t late);

/* When the timer must end the turn of one whose own `deadline` this is; a TSC value, as that. */
static inline uint64_t schedule_deadline(const struct schedule *schedule, uint64_t deadline)
{
    uint64_t others = schedule->others_deadline < schedule->turn_end ? schedule->others_deadline
                                                                     : schedule->turn_end;

    return deadline < others ? deadline : others;
}

/* Counts a turn of a vCPU that took `ticks`. */
void schedule_charge(struct vcpu *vcpu, uint64_t ticks);

/*
 * The same for work on a vCPU's VM while that does not run, its memory's zeroing for one: nothing
 * is counted while nobody else wants the CPU.
 */
void schedule_charge_work(const struct schedule *schedule, struct vcpu *vcpu, uint64_t ticks);

/* Whether others go before such work: they want the CPU, and the VM has had more than they. */
bool schedule_work_waits(const struct schedule *schedule, const struct vcpu *vcpu);

#endif
